//! `#[derive(Message)]`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Error, Ident, Result};

use crate::attributes::{Grid, is_wire_name, refuse_generics, refuse_on_fields};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    match &input.data {
        Data::Struct(data) => refuse_on_fields(&data.fields)?,
        Data::Enum(data) => {
            return Err(Error::new(
                data.enum_token.span,
                "a message is a struct: make the enum a field of one, or derive `MessageSet` \
                 for a set of several messages",
            ));
        }
        Data::Union(data) => {
            return Err(Error::new(
                data.union_token.span,
                "a message is a struct, not a union",
            ));
        }
    }
    refuse_generics(input, "a message")?;
    let grid = Grid::of_message(&input.attrs)?;

    let message = &input.ident;
    let name = match &grid.name {
        Some(name) => name.to_token_stream(),
        None => default_name(message)?,
    };
    let aliases = &grid.aliases;
    let actorgrid = grid.crate_path();
    let reply = match &grid.reply {
        Some(reply) => reply.to_token_stream(),
        None => quote!(#actorgrid::Ack),
    };
    // Where `prost::Message` is missing, the compiler points at the type.
    let prost = quote_spanned!(message.span()=> <#message as ::prost::Message>);
    Ok(quote! {
        #[automatically_derived]
        impl #actorgrid::Message for #message {
            type Reply = #reply;

            const WIRE_NAME: &'static str = #name;

            const ALIASES: &'static [&'static str] = &[#(#aliases),*];

            fn encoded_len(&self) -> usize {
                #prost::encoded_len(self)
            }

            // `encode` can fail for want of room, and this buffer grows.
            fn encode(&self, buffer: &mut #actorgrid::__private::BytesMut) {
                #prost::encode_raw(self, buffer);
            }

            fn decode(
                _wire_name: &str,
                bytes: #actorgrid::__private::Bytes,
            ) -> ::core::result::Result<Self, #actorgrid::DecodeError> {
                #prost::decode(bytes).map_err(#actorgrid::DecodeError::new)
            }
        }
    })
}

/// The package and the type.
fn default_name(message: &Ident) -> Result<TokenStream> {
    let name = message.unraw().to_string();
    if !is_wire_name(&name) {
        return Err(Error::new(
            message.span(),
            "a wire name has ASCII only: set another with `#[grid(name = \"...\")]`",
        ));
    }
    Ok(quote!(
        ::core::concat!(::core::env!("CARGO_PKG_NAME"), "/", #name)
    ))
}
