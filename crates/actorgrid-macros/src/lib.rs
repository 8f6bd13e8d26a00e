//! Derive macros of `actorgrid`, which exports them beside the traits of the same names. Use them
//! from there: what they write names the two crates `actorgrid` and `prost`.

mod attributes;
mod message;
mod message_set;

use proc_macro2::TokenStream;
use syn::DeriveInput;

/// The attribute `#[grid(...)]` takes, in one piece or several:
///
/// - `name = "..."`: the wire name. Without it, the package and the type, like `shop/Order`: then
///   a type that is renamed or moves to another package needs its old name as an alias, and two
///   types of one name in one package need a `name` each.
/// - `alias = "..."`: a further name under which the message is accepted, as often as wanted.
/// - `reply = Type`: the answer to a request with the message. Without it, an `Ack`.
/// - `crate = path`: where the crate `actorgrid` is, when it is not `::actorgrid`.
///
/// The type is a struct without generic parameters that has `prost::Message` too. Wire names are
/// of printable ASCII without spaces.
#[proc_macro_derive(Message, attributes(grid))]
pub fn derive_message(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(input, message::expand)
}

/// The type is an enum without generic parameters. Each variant holds one field, which is a set
/// itself: a `Request` of one message, or a further set. Variants are tried in the order in which
/// they are declared, so one that holds a `Request<Payload>` comes last. A set has the wire name of
/// a message once; a second time is a compile error. (Aliases are not compared: of two
/// variants that accept one alias, the first gets it.)
///
/// The attribute `#[grid(crate = path)]` says where the crate `actorgrid` is, when it is not
/// `::actorgrid`.
#[proc_macro_derive(MessageSet, attributes(grid))]
pub fn derive_message_set(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(input, message_set::expand)
}

fn expand(
    input: proc_macro::TokenStream,
    with: fn(&DeriveInput) -> syn::Result<TokenStream>,
) -> proc_macro::TokenStream {
    syn::parse(input)
        .and_then(|input| with(&input))
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
