use actorgrid::Message;

#[derive(Message)]
enum Either {
    This,
    That,
}

#[derive(Message)]
union Both {
    this: u32,
    that: f32,
}

#[derive(Message)]
struct Generic<T: Clone, const N: usize>([T; N]);

#[derive(Message)]
struct Bounded
where
    u8: Copy;

#[derive(Message)]
struct Städte;

#[derive(Message)]
#[grid(name = "")]
struct EmptyName;

#[derive(Message)]
#[grid(name = "two words")]
struct Spaced;

#[derive(Message)]
#[grid(name = 5)]
struct NotAText;

#[derive(Message)]
#[grid(name = "shop/One")]
#[grid(name = "shop/Two")]
struct TwoNames;

#[derive(Message)]
#[grid(reply = EmptyName, reply = Spaced)]
struct TwoReplies;

#[derive(Message)]
#[grid(reply = "Spaced")]
struct QuotedReply;

#[derive(Message)]
#[grid(alias = "shop/Order", name = "shop/Order")]
struct AliasIsName;

#[derive(Message)]
#[grid(alias = "shop/Old", alias = "shop/Old")]
struct SameAlias;

#[derive(Message)]
#[grid(alias = "")]
struct EmptyAlias;

#[derive(Message)]
#[grid(names = "shop/Order")]
struct UnknownKey;

#[derive(Message)]
#[grid]
struct NoKeys;

#[derive(Message)]
struct OnField {
    #[grid(name = "shop/Text")]
    text: String,
}

fn main() {}
