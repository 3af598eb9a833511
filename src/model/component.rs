//! The names of the things that can be placed.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// The identity of a component. The derived order is the canonical one: embedding, the layers front to
/// back (attention, router, mlp, shared expert, experts or their matrices), final norm, output head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ComponentId {
    /// `embedding`: the token embedding; a tied head lives here too.
    Embedding,
    /// `layers.3.attention`: attention block with its layer norms.
    Attention(u32),
    /// `layers.3.router`: the gate that chooses experts.
    Router(u32),
    /// `layers.3.mlp`: the dense feed-forward part.
    Mlp(u32),
    /// `layers.3.shared_expert`: the expert every token passes.
    SharedExpert(u32),
    /// `layers.3.experts.5`: one routed expert.
    Expert(u32, u32),
    /// `layers.3.experts.down`: one matrix of all routed experts, where a runtime holds them so.
    ExpertMatrix(u32, Matrix),
    /// `final_norm`.
    FinalNorm,
    /// `output_head`; absent when tied.
    OutputHead,
}

/// One of an expert's matrices, in the order in which a token passes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Matrix {
    /// From the width of the model to that of the expert.
    Up,
    /// The same; what it gives is the weight of what `Up` gives, element by element.
    Gate,
    /// Both of them in one.
    GateUp,
    /// Back to the width of the model.
    Down,
}

impl Matrix {
    const ALL: [Self; 4] = [Self::Up, Self::Gate, Self::GateUp, Self::Down];

    /// The word in names of components.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Gate => "gate",
            Self::GateUp => "gate_up",
            Self::Down => "down",
        }
    }

    /// The matrix of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|matrix| matrix.name() == name)
    }
}

/// A component's kind, without its indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each name says it")]
pub enum ComponentKind {
    Embedding,
    Attention,
    Router,
    Mlp,
    SharedExpert,
    Expert,
    ExpertMatrix,
    FinalNorm,
    OutputHead,
}

impl ComponentKind {
    /// The name used in JSON and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Attention => "attention",
            Self::Router => "router",
            Self::Mlp => "mlp",
            Self::SharedExpert => "shared_expert",
            Self::Expert => "expert",
            Self::ExpertMatrix => "expert_matrix",
            Self::FinalNorm => "final_norm",
            Self::OutputHead => "output_head",
        }
    }

    /// Mlp, shared expert, expert or a matrix of experts: the part of a layer that may live away from its
    /// attention.
    pub fn is_feed_forward(self) -> bool {
        matches!(self, Self::Mlp | Self::SharedExpert | Self::Expert | Self::ExpertMatrix)
    }
}

impl ComponentId {
    /// What kind it is.
    pub fn kind(self) -> ComponentKind {
        match self {
            Self::Embedding => ComponentKind::Embedding,
            Self::Attention(_) => ComponentKind::Attention,
            Self::Router(_) => ComponentKind::Router,
            Self::Mlp(_) => ComponentKind::Mlp,
            Self::SharedExpert(_) => ComponentKind::SharedExpert,
            Self::Expert(..) => ComponentKind::Expert,
            Self::ExpertMatrix(..) => ComponentKind::ExpertMatrix,
            Self::FinalNorm => ComponentKind::FinalNorm,
            Self::OutputHead => ComponentKind::OutputHead,
        }
    }

    /// The decoder layer it belongs to, if any.
    pub fn layer(self) -> Option<u32> {
        match self {
            Self::Embedding | Self::FinalNorm | Self::OutputHead => None,
            Self::Attention(l)
            | Self::Router(l)
            | Self::Mlp(l)
            | Self::SharedExpert(l)
            | Self::Expert(l, _)
            | Self::ExpertMatrix(l, _) => Some(l),
        }
    }

    /// Its index among the experts of its layer, if it is one.
    pub fn expert(self) -> Option<u32> {
        match self {
            Self::Expert(_, e) => Some(e),
            _ => None,
        }
    }

    /// Which matrix of its layer's experts it is, if it is one.
    pub fn matrix(self) -> Option<Matrix> {
        match self {
            Self::ExpertMatrix(_, matrix) => Some(matrix),
            _ => None,
        }
    }

    fn rank(self) -> (u8, u32, u8, u32) {
        match self {
            Self::Embedding => (0, 0, 0, 0),
            Self::Attention(l) => (1, l, 0, 0),
            Self::Router(l) => (1, l, 1, 0),
            Self::Mlp(l) => (1, l, 2, 0),
            Self::SharedExpert(l) => (1, l, 3, 0),
            Self::Expert(l, e) => (1, l, 4, e),
            Self::ExpertMatrix(l, matrix) => (1, l, 5, matrix as u32),
            Self::FinalNorm => (2, 0, 0, 0),
            Self::OutputHead => (3, 0, 0, 0),
        }
    }
}

impl PartialOrd for ComponentId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ComponentId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedding => f.write_str("embedding"),
            Self::Attention(l) => write!(f, "layers.{l}.attention"),
            Self::Router(l) => write!(f, "layers.{l}.router"),
            Self::Mlp(l) => write!(f, "layers.{l}.mlp"),
            Self::SharedExpert(l) => write!(f, "layers.{l}.shared_expert"),
            Self::Expert(l, e) => write!(f, "layers.{l}.experts.{e}"),
            Self::ExpertMatrix(l, matrix) => write!(f, "layers.{l}.experts.{}", matrix.name()),
            Self::FinalNorm => f.write_str("final_norm"),
            Self::OutputHead => f.write_str("output_head"),
        }
    }
}

impl FromStr for ComponentId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let index = |part: &str| {
            // No sign, no leading zero: every component has exactly one spelling.
            let canonical = part == "0" || (!part.starts_with('0') && !part.starts_with('+'));
            canonical.then(|| part.parse::<u32>().ok()).flatten()
        };
        let parts: Vec<&str> = text.split('.').collect();
        let id = match parts.as_slice() {
            ["embedding"] => Some(Self::Embedding),
            ["final_norm"] => Some(Self::FinalNorm),
            ["output_head"] => Some(Self::OutputHead),
            ["layers", l, "attention"] => index(l).map(Self::Attention),
            ["layers", l, "router"] => index(l).map(Self::Router),
            ["layers", l, "mlp"] => index(l).map(Self::Mlp),
            ["layers", l, "shared_expert"] => index(l).map(Self::SharedExpert),
            ["layers", l, "experts", part] => index(l).and_then(|layer| {
                let matrix = || Some(Self::ExpertMatrix(layer, Matrix::named(part)?));
                index(part).map(|expert| Self::Expert(layer, expert)).or_else(matrix)
            }),
            _ => None,
        };
        id.ok_or_else(|| {
            Error::new("read a component name").object(text).expected(
                "a name such as `embedding`, `layers.0.attention` or `layers.0.experts.3`",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_themselves() {
        for id in [
            ComponentId::Embedding,
            ComponentId::Attention(0),
            ComponentId::Router(31),
            ComponentId::Mlp(2),
            ComponentId::SharedExpert(9),
            ComponentId::Expert(10, 7),
            ComponentId::ExpertMatrix(3, Matrix::GateUp),
            ComponentId::ExpertMatrix(0, Matrix::Down),
            ComponentId::FinalNorm,
            ComponentId::OutputHead,
        ] {
            assert_eq!(id.to_string().parse::<ComponentId>().unwrap(), id);
        }
    }

    #[test]
    fn only_one_spelling_is_accepted() {
        for text in ["layers.00.attention", "layers.+1.router", "layers.1.experts", "Embedding", ""]
        {
            assert!(text.parse::<ComponentId>().is_err(), "{text}");
        }
    }
}
