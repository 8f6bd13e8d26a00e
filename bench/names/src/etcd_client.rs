//! A client of etcd that uses nothing of ours: single calls over one connection.
//!
//! The code that tonic would generate from a proto file is written by hand, to need no `protoc`.

use bench_kit::BoxError;
use http::uri::PathAndQuery;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

const RANGE: &str = "/etcdserverpb.KV/Range";
const PUT: &str = "/etcdserverpb.KV/Put";

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    range_end: Vec<u8>,
    #[prost(bool, tag = "9")]
    count_only: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct RangeResponse {
    #[prost(int64, tag = "4")]
    count: i64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct PutResponse {}

/// Calls over one connection. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct EtcdClient(Channel);

impl EtcdClient {
    pub(crate) async fn connect(address: &str) -> Result<Self, BoxError> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
        Ok(Self(endpoint.connect().await?))
    }

    /// Reads a key linearizably.
    pub(crate) async fn get(&self, key: &str) -> Result<(), BoxError> {
        let request = RangeRequest {
            key: key.into(),
            ..RangeRequest::default()
        };
        self.call::<_, RangeResponse>(RANGE, request).await?;
        Ok(())
    }

    pub(crate) async fn put(&self, key: &str) -> Result<(), BoxError> {
        let request = PutRequest {
            key: key.into(),
            value: vec![b'x'; 100],
        };
        self.call::<_, PutResponse>(PUT, request).await?;
        Ok(())
    }

    /// Counts the keys with a prefix, which ends with a dot.
    pub(crate) async fn count(&self, prefix: &str) -> Result<i64, BoxError> {
        let mut range_end = Vec::from(prefix);
        if let Some(last) = range_end.last_mut() {
            *last += 1;
        }
        let request = RangeRequest {
            key: prefix.into(),
            range_end,
            count_only: true,
        };
        let counted: RangeResponse = self.call(RANGE, request).await?;
        Ok(counted.count)
    }

    async fn call<Q, A>(&self, path: &'static str, request: Q) -> Result<A, BoxError>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let mut grpc = Grpc::new(self.0.clone());
        grpc.ready().await?;
        let codec = ProstCodec::<Q, A>::default();
        let path = PathAndQuery::from_static(path);
        let answer = grpc.unary(Request::new(request), path, codec).await?;
        Ok(answer.into_inner())
    }
}
