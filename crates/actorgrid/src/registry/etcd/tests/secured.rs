//! Tests of etcd behind TLS.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::*;
use crate::registry::Backend;

/// Certificates on disk, deleted on drop.
struct Certificates(PathBuf);

impl Certificates {
    fn make() -> Self {
        let folder = folder().with_extension("tls");
        std::fs::create_dir_all(&folder).unwrap();
        let made = Self(folder);
        for authority in ["ours", "theirs"] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let certificate = params.self_signed(&key).unwrap();
            made.write(&format!("{authority}-ca"), &certificate.pem());
            let issuer = Issuer::new(params, key);
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &issuer).unwrap();
            made.write(&format!("{authority}-cert"), &certificate.pem());
            made.write(&format!("{authority}-key"), &key.serialize_pem());
        }
        made.write("nonsense", "nonsense");
        made
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn both_sides_are_vouched_for() {
    let files = Certificates::make();
    let path = |name| files.path(name);
    let ports = free_ports();
    let endpoint = format!("127.0.0.1:{}", ports[0]);
    let server = EtcdServer::start_in(
        folder(),
        ports,
        &[
            &format!("--listen-client-urls=https://{endpoint}"),
            &format!("--advertise-client-urls=https://{endpoint}"),
            &format!("--cert-file={}", path("ours-cert")),
            &format!("--key-file={}", path("ours-key")),
            &format!("--trusted-ca-file={}", path("ours-ca")),
            "--client-cert-auth",
        ],
    );
    let (ca, cert, key) = (path("ours-ca"), path("ours-cert"), path("ours-key"));
    let secured = connect(&format!("{endpoint}?ca={ca}&cert={cert}&key={key}")).await;
    secured.grant(Duration::from_secs(5)).await.unwrap();
    // Dedicated connections are secured, too.
    let dedicated = secured.dedicated();
    dedicated.grant(Duration::from_secs(5)).await.unwrap();

    let environment = Environment::real();
    for (query, said) in [
        (format!("ca={ca}"), "cannot be reached"),
        (
            format!("ca={}&cert={cert}&key={key}", path("theirs-ca")),
            "invalid peer certificate",
        ),
        (
            format!(
                "ca={ca}&cert={}&key={}",
                path("theirs-cert"),
                path("theirs-key")
            ),
            "cannot be reached",
        ),
        ("tls=true".to_owned(), ""),
        (format!("ca={}", path("missing")), "missing"),
        (
            format!("ca={}", path("nonsense")),
            "contains no certificate",
        ),
        (format!("ca={ca}&cert={cert}&key={cert}"), "ours-cert"),
        (
            format!("ca={ca}&cert={cert}&key={}", path("theirs-key")),
            "ours-cert",
        ),
    ] {
        let result = Etcd::connect(&environment, &format!("{endpoint}?{query}")).await;
        let error = result.map(drop).unwrap_err();
        assert_eq!(error.kind(), RegistryErrorKind::Tls, "{query}: {error}");
        assert!(error.to_string().contains(said), "{query}: {error}");
    }
    // Connections without TLS where etcd requires it, and the other way round.
    let error = Etcd::connect(&environment, &endpoint).await.map(drop);
    assert_eq!(error.unwrap_err().kind(), RegistryErrorKind::Unavailable);
    drop(server);
    let plain = EtcdServer::start();
    plain.connect().await;
    let rest = format!("{}?ca={ca}", plain.endpoint());
    let error = Etcd::connect(&environment, &rest).await.map(drop);
    assert_eq!(error.unwrap_err().kind(), RegistryErrorKind::Tls);
}
