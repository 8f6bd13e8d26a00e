//! The service for watches.

use std::pin::Pin;

use futures_core::Stream;
use futures_util::stream;
use tonic::{Request, Response, Status, Streaming};

use super::etcd_service::{EtcdService, token_of};
use super::watch_stream::WatchStream;
use crate::wire::watch_server::Watch;
use crate::wire::{WatchRequest, WatchResponse};

#[tonic::async_trait]
impl Watch for EtcdService {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let token = token_of(request.metadata());
        let watches = WatchStream::new(self.core.clone(), token, request.into_inner());
        let messages = stream::unfold(watches, |mut watches| async move {
            let message = watches.next().await?;
            Some((message, watches))
        });
        Ok(Response::new(Box::pin(messages)))
    }
}
