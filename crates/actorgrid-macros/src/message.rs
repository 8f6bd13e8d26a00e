//! Expands `#[derive(Message)]`.

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
    let protobuf = protobuf();
    // If `prost::Message` is missing, the compiler points at the type, once.
    let prost = quote_spanned!(message.span()=> <#message as __actorgrid_derive::Protobuf<_>>);
    Ok(quote! {
        const _: () = {
            #protobuf

            #[automatically_derived]
            impl #actorgrid::Message for #message {
                type Reply = #reply;

                const WIRE_NAME: &'static str = #name;

                const ALIASES: &'static [&'static str] = &[#(#aliases),*];

                fn encoded_len(&self) -> usize {
                    #prost::encoded_len(self)
                }

                // `encode` can fail only for lack of space, and this buffer grows.
                fn encode(&self, buffer: &mut #actorgrid::__private::BytesMut) {
                    #prost::encode_raw(self, buffer);
                }

                fn decode(
                    _wire_name: &str,
                    bytes: #actorgrid::__private::Bytes,
                ) -> ::core::result::Result<Self, #actorgrid::DecodeError> {
                    #prost::decode(bytes).map_err(#actorgrid::DecodeError::new)
                }

                fn decode_from(
                    _wire_name: &str,
                    bytes: &[u8],
                ) -> ::core::result::Result<Self, #actorgrid::DecodeError> {
                    #prost::decode(bytes).map_err(#actorgrid::DecodeError::new)
                }
            }
        };
    })
}

/// Generates a copy of `prost::Message` as a trait that tells users what to do if it is missing.
///
/// With a single implementation, the compiler would look through it and report the bound on
/// `prost::Message`. A second implementation, which applies to no type, makes it report this trait.
///
/// Everything is in a module whose name no user writes: any other name here would hide the user's
/// type of that name from the implementation of `Message`.
fn protobuf() -> TokenStream {
    let items = protobuf_items();
    quote! {
        mod __actorgrid_derive {
            #items
        }
    }
}

fn protobuf_items() -> TokenStream {
    quote! {
        #[diagnostic::on_unimplemented(
            message = "`{Self}` is an `actorgrid::Message` without `prost::Message`",
            label = "derive `prost::Message` on this type too",
            note = "write `#[derive(Clone, PartialEq, prost::Message, actorgrid::Message)]`, and \
                    `#[prost(...)]` on each field"
        )]
        pub(super) trait Protobuf<By>: ::core::marker::Sized {
            fn encoded_len(&self) -> usize;
            fn encode_raw(&self, buffer: &mut impl ::prost::bytes::BufMut);
            fn decode(
                bytes: impl ::prost::bytes::Buf,
            ) -> ::core::result::Result<Self, ::prost::DecodeError>;
        }

        pub(super) enum Derived {}

        impl<T: ::prost::Message + ::core::default::Default> Protobuf<Derived> for T {
            #[inline]
            fn encoded_len(&self) -> usize {
                ::prost::Message::encoded_len(self)
            }

            #[inline]
            fn encode_raw(&self, buffer: &mut impl ::prost::bytes::BufMut) {
                ::prost::Message::encode_raw(self, buffer);
            }

            #[inline]
            fn decode(
                bytes: impl ::prost::bytes::Buf,
            ) -> ::core::result::Result<Self, ::prost::DecodeError> {
                ::prost::Message::decode(bytes)
            }
        }

        pub(super) enum Nothing {}

        pub(super) trait Never {}

        impl<T: Never> Protobuf<Nothing> for T {
            fn encoded_len(&self) -> usize {
                ::core::unreachable!()
            }

            fn encode_raw(&self, _buffer: &mut impl ::prost::bytes::BufMut) {}

            fn decode(
                _bytes: impl ::prost::bytes::Buf,
            ) -> ::core::result::Result<Self, ::prost::DecodeError> {
                ::core::unreachable!()
            }
        }
    }
}

/// Returns the package and the type, the default wire name.
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
