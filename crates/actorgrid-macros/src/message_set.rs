//! Expands `#[derive(MessageSet)]`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Error, Fields, Ident, Result, Type};

use crate::attributes::{Grid, refuse_generics, refuse_on, refuse_on_fields};

const WANTED: &str = "a message set is an enum with a variant for each message, like \
                      `Job(Request<Job>)`";

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let variants = variants(input)?;
    refuse_generics(input, "a message set")?;
    let grid = Grid::of_set(&input.attrs)?;

    let set = &input.ident;
    let actorgrid = grid.crate_path();
    let names: Vec<_> = variants.iter().map(|variant| variant.name).collect();
    // The trait's functions for each variant. The compiler points at a field that is not a set.
    let members: Vec<_> = variants
        .iter()
        .map(|variant| {
            let inner = variant.inner;
            quote!(<#inner as #actorgrid::MessageSet>)
        })
        .collect();
    // If no variant accepts the message, the first one reports it to the requester as unknown.
    let (first, first_name) = (&members[0], names[0]);
    let distinct = distinct(&actorgrid, &names, &members);
    Ok(quote! {
        #[automatically_derived]
        impl #actorgrid::MessageSet for #set {
            const WIRE_NAMES: &'static [&'static str] = {
                const SETS: &[&[&str]] = &[#(#members::WIRE_NAMES),*];
                &#actorgrid::__private::join::<{ #actorgrid::__private::count(SETS) }>(SETS)
            };

            fn accepts(wire_name: &str) -> bool {
                #(#members::accepts(wire_name))||*
            }

            fn receive(
                incoming: #actorgrid::Incoming,
            ) -> ::core::option::Option<Self> {
                #(
                    if #members::accepts(incoming.wire_name()) {
                        return #members::receive(incoming).map(Self::#names);
                    }
                )*
                #first::receive(incoming).map(Self::#first_name)
            }

            fn wire_name(&self) -> &str {
                match self {
                    #(Self::#names(set) => #members::wire_name(set),)*
                }
            }

            fn into_responder(self) -> #actorgrid::Responder<#actorgrid::Payload> {
                match self {
                    #(Self::#names(set) => #members::into_responder(set),)*
                }
            }

            fn pending(&mut self) -> &mut #actorgrid::__private::Pending {
                match self {
                    #(Self::#names(set) => #members::pending(set),)*
                }
            }
        }

        const _: () = {
            #distinct
        };
    })
}

/// One variant of the set.
struct Variant<'a> {
    name: &'a Ident,
    inner: &'a Type,
}

fn variants(input: &DeriveInput) -> Result<Vec<Variant<'_>>> {
    let refuse = |span: Span| Err(Error::new(span, WANTED));
    let data = match &input.data {
        Data::Enum(data) => data,
        Data::Struct(data) => return refuse(data.struct_token.span),
        Data::Union(data) => return refuse(data.union_token.span),
    };
    if data.variants.is_empty() {
        return Err(Error::new(
            input.ident.span(),
            "a message set without a message takes nothing: add a variant, like \
             `Job(Request<Job>)`",
        ));
    }
    data.variants
        .iter()
        .map(|variant| {
            refuse_on(&variant.attrs, "variant")?;
            refuse_on_fields(&variant.fields)?;
            let name = &variant.ident;
            match &variant.fields {
                Fields::Unnamed(fields) if fields.unnamed.len() == 1 => Ok(Variant {
                    name,
                    inner: &fields.unnamed[0].ty,
                }),
                _ => Err(Error::new_spanned(
                    variant,
                    format!(
                        "a variant of a message set holds one field, which is a set itself: \
                         write it like `{name}(Request<...>)`"
                    ),
                )),
            }
        })
        .collect()
}

/// Generates checks that no variant repeats a wire name of an earlier one. An inner set has already
/// checked its own names.
fn distinct(actorgrid: &TokenStream, names: &[&Ident], members: &[TokenStream]) -> TokenStream {
    let mut checks = TokenStream::new();
    for (at, (name, member)) in names.iter().zip(members).enumerate() {
        for (earlier_name, earlier) in names.iter().zip(members).take(at) {
            let text = format!(
                "`{name}` takes a message that `{earlier_name}` takes too: \
                 a set has each wire name once"
            );
            // The span makes the compiler point at the variant.
            checks.extend(quote_spanned! {name.span()=>
                ::core::assert!(
                    !#actorgrid::__private::overlap(#earlier::WIRE_NAMES, #member::WIRE_NAMES),
                    #text
                );
            });
        }
    }
    checks
}
