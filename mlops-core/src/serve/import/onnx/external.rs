//! Whether a model keeps weights in other files.

use super::wire::{Fault, Field, Message};

/// How deep graphs lie within graphs.
const MAX_DEPTH: usize = 32;

/// What a message is, as far as weights may lie in it.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    Function,
}

impl Kind {
    /// The kind of a field of that number; none where nothing of the kind is below.
    fn below(self, field: u64) -> Option<Self> {
        Some(match (self, field) {
            (Self::Model, 7) => Self::Graph,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::SparseTensor, 1 | 2) => Self::Tensor,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::SparseTensor,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Attribute, 6 | 11) => Self::Graph,
            _ => return None,
        })
    }
}

/// Whether any tensor of a model lies in another file.
pub(super) fn is_external(bytes: &[u8]) -> Result<bool, Fault> {
    look(Message { bytes, begin: 0 }, Kind::Model, 0)
}

fn look(message: Message<'_>, kind: Kind, depth: usize) -> Result<bool, Fault> {
    if depth > MAX_DEPTH {
        return Err(message.fault("graphs lie too deep within graphs"));
    }
    for field in message.fields() {
        match (kind, field?) {
            (Kind::Tensor, (13, Field::Bytes(_))) => return Ok(true),
            (Kind::Tensor, (14, Field::Varint(location))) if location != 0 => return Ok(true),
            (kind, (number, Field::Bytes(inner))) => {
                if let Some(below) = kind.below(number)
                    && look(inner, below, depth + 1)?
                {
                    return Ok(true);
                }
            }
            _ => {}
        }
    }
    Ok(false)
}
