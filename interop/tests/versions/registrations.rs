//! The registrations of each version, as the other one reads them.

use interop::{Command, Entry, Version, VersionBed};

pub(crate) async fn each_version_sees_the_other_come_and_go(bed: &VersionBed) {
    for version in Version::BOTH {
        let name = format!("seen-{}", version.as_str());
        let options = ["--annotations", "zone-b,zone-a"];
        let peer = bed.serving(version, &name, &options).await;
        let client = bed.client(version.other());
        client.start_actor(&peer.id, &name, "echo").await.success();
        let listed = async |kind: &str| {
            let command = Command {
                op: "query",
                kind: kind.to_owned(),
                ..Command::default()
            };
            client.ask(command).await.success().entries
        };
        let entry = |name: &str, annotations: &[&str]| Entry {
            name: name.to_owned(),
            peer: peer.id.clone(),
            annotations: Some(annotations.iter().map(ToString::to_string).collect()),
        };
        let registered = [
            ("peer", entry(&peer.id, &["zone-a", "zone-b"])),
            ("mailbox", entry(&peer.id, &[])),
            ("actor", entry(&name, &[])),
            ("mailbox", entry(&name, &[])),
        ];
        for (kind, entry) in &registered {
            assert!(listed(kind).await.contains(entry), "{entry:?}");
            // Only this version announces links, in each registration.
            let key = format!("{}.{kind}.{}", interop::NAMESPACE, entry.name);
            let value = bed.etcd.ctl(["get", &key, "--print-value-only"]);
            assert!(value.contains(r#","nonce":""#), "{value}");
            let announces = value.contains(r#","link":{"versions":[1,1],"incarnation":""#);
            assert_eq!(announces, version == Version::Current, "{value}");
        }
        let id = peer.id.clone();
        assert!(peer.stop().await.success());
        for (kind, _) in registered {
            assert!(listed(kind).await.iter().all(|entry| entry.peer != id));
        }
    }
}
