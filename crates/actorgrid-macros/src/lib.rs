//! Derive macros of `actorgrid`, which exports them beside the traits of the same names. Use them
//! from there: the code they generate names the crates `actorgrid` and `prost`.

mod attributes;
mod message;
mod message_set;

use proc_macro2::TokenStream;
use syn::DeriveInput;

/// The attribute `#[grid(...)]` takes these keys, in one attribute or several:
///
/// - `name = "..."`: the wire name. The default is the package and the type, like `shop/Order`: a
///   type that is renamed or moves to another package then needs its old name as an alias, and two
///   types with the same name in one package each need a `name`.
/// - `alias = "..."`: a further name under which the message is accepted. It can be repeated.
/// - `reply = Type`: the answer to a request with the message. The default is `Ack`.
/// - `crate = path`: the path of the crate `actorgrid`, if it is not `::actorgrid`.
///
/// The type must be a struct without generic parameters that also implements `prost::Message`. Wire
/// names consist of printable ASCII without spaces.
#[proc_macro_derive(Message, attributes(grid))]
pub fn derive_message(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(input, message::expand)
}

/// The type must be an enum without generic parameters. Each variant holds one field, which is
/// itself a set: a `Request` of one message, or a further set. Variants are tried in the order in
/// which they are declared, so a variant that holds a `Request<Payload>` comes last. The wire name
/// of a message can occur only once in a set; a second time is a compile error. (Aliases are not
/// compared: if two variants accept the same alias, the first one gets the message.)
///
/// The attribute `#[grid(crate = path)]` sets the path of the crate `actorgrid`, if it is not
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
