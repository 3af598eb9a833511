//! The functions of family expressions.

use super::{Node, Scope, Value, evaluate, truth};

/// A function by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    /// `if(condition, value, other)`; only the chosen value is computed.
    If,
    /// `min(a, b)`.
    Min,
    /// `max(a, b)`.
    Max,
    /// `ceil_div(a, b)`: a / b, rounded up.
    CeilDiv,
    /// `length(list)`.
    Length,
}

const ALL: [(&str, Function, usize); 5] = [
    ("if", Function::If, 3),
    ("min", Function::Min, 2),
    ("max", Function::Max, 2),
    ("ceil_div", Function::CeilDiv, 2),
    ("length", Function::Length, 1),
];

impl Function {
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        let found = ALL.iter().find(|row| row.0 == name).map(|row| row.1);
        found.ok_or_else(|| {
            let names: Vec<&str> = ALL.iter().map(|row| row.0).collect();
            format!("`{name}` is no function; there are {}", names.join(", "))
        })
    }

    /// Whether it takes that many arguments.
    pub(super) fn check(self, arguments: usize) -> Result<(), String> {
        let wrong = ALL.iter().find(|row| row.1 == self && row.2 != arguments);
        wrong.map_or(Ok(()), |(name, _, count)| {
            Err(format!("`{name}` takes {count} arguments, not {arguments}"))
        })
    }

    pub(super) fn call(self, arguments: &[Node], scope: Scope<'_>) -> Result<Value, String> {
        match (self, arguments) {
            (Self::If, [condition, value, other]) => {
                let chosen = if truth(evaluate(condition, scope)?)? { value } else { other };
                evaluate(chosen, scope)
            }
            (Self::Length, [list]) => length(&evaluate(list, scope)?),
            (_, [left, right]) => match (evaluate(left, scope)?, evaluate(right, scope)?) {
                (Value::Integer(left), Value::Integer(right)) => self.of_two(left, right),
                (left, right) => {
                    Err(format!("cannot combine {} and {}", left.kind(), right.kind()))
                }
            },
            _ => Err("a function without its arguments".to_owned()),
        }
    }

    fn of_two(self, left: i64, right: i64) -> Result<Value, String> {
        let value = match self {
            Self::Min => left.min(right),
            Self::Max => left.max(right),
            _ if right <= 0 => return Err(format!("{left} is divided by {right}")),
            // Euclidean, so that the sum cannot pass 64 bits.
            _ => left
                .checked_div_euclid(right)
                .and_then(|quotient| quotient.checked_add(i64::from(left.rem_euclid(right) > 0)))
                .ok_or_else(|| format!("{left} and {right} lead beyond 64 bits"))?,
        };
        Ok(Value::Integer(value))
    }
}

fn length(list: &Value) -> Result<Value, String> {
    let items = match list {
        Value::Integers(items) => items.len(),
        Value::Texts(items) => items.len(),
        other => return Err(format!("{} has no length", other.kind())),
    };
    i64::try_from(items).map(Value::Integer).map_err(|_| "a list too long to count".to_owned())
}
