//! A gRPC call per request.

use bench_kit::{
    About, BoxError, Caller, Contender, EchoOptions, LoadOptions, Served, locked_version,
};
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::Channel;

use super::LOCK;
use super::echo_content::EchoContent;
use super::grpc_echo::{MAX_MESSAGE, SETTINGS, codec, connect, serve, unary_path};

/// Unary calls of tonic.
#[derive(Debug)]
pub struct TonicUnary;

impl Contender for TonicUnary {
    type Caller = UnaryCaller;

    fn about() -> About {
        About {
            name: "tonic unary".to_owned(),
            version: locked_version(LOCK, "tonic"),
            messages: "prost, with bytes".to_owned(),
            names: "none".to_owned(),
            deadline: "none".to_owned(),
            encryption: "none".to_owned(),
            settings: SETTINGS.to_owned(),
        }
    }

    async fn serve(options: &EchoOptions) -> Result<Served, BoxError> {
        serve(options).await
    }

    async fn connect(options: &LoadOptions) -> Result<UnaryCaller, BoxError> {
        let channel = connect(&options.address).await?;
        Ok(UnaryCaller(channel))
    }
}

/// Calls over one connection.
#[derive(Debug, Clone)]
pub struct UnaryCaller(Channel);

impl Caller for UnaryCaller {
    type Message = UnaryMessage;

    fn message(&self, bytes: usize) -> UnaryMessage {
        UnaryMessage(EchoContent::of(bytes))
    }

    async fn call(&self, message: &UnaryMessage) -> Result<usize, BoxError> {
        let mut grpc = Grpc::new(self.0.clone()).max_decoding_message_size(MAX_MESSAGE);
        grpc.ready().await?;
        let request = Request::new(message.0.clone());
        let answer = grpc.unary(request, unary_path(), codec()).await?;
        let answer: EchoContent = answer.into_inner();
        Ok(answer.content.len())
    }
}

/// The message of a call.
#[derive(Debug, Clone)]
pub struct UnaryMessage(EchoContent);
