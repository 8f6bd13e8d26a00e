use actorgrid::{ActorContext, ActorResult, EchoMsg};

async fn act(ctx: ActorContext) -> ActorResult {
    let _mailbox = ctx.mailbox::<EchoMsg>(10).await?;
    Ok(())
}

fn main() {}
