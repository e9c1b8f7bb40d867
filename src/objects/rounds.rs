use std::collections::VecDeque;

use crate::error::Error;

/// Things of which one may need another that comes behind it: each is tried, and those that were refused again, for as
/// long as a round makes one of them.
pub(crate) struct Rounds<T> {
    open: VecDeque<T>,
    refused: Vec<(T, Error)>,
    /// How many this round began with.
    tried: usize,
}

impl<T> Rounds<T> {
    pub(crate) fn new(things: impl IntoIterator<Item = T>) -> Rounds<T> {
        let open: VecDeque<T> = things.into_iter().collect();
        Rounds { tried: open.len(), open, refused: Vec::new() }
    }

    /// The next one to try.
    pub(crate) fn next_one(&mut self) -> Option<T> {
        if self.open.is_empty() && self.refused.len() < self.tried {
            self.tried = self.refused.len();
            self.open.extend(self.refused.drain(..).map(|(thing, _)| thing));
        }
        self.open.pop_front()
    }

    /// It was refused, and is tried again.
    pub(crate) fn again(&mut self, thing: T, refusal: Error) {
        self.refused.push((thing, refusal));
    }

    /// Those that no round made, each with its last refusal.
    pub(crate) fn left(self) -> Vec<(T, Error)> {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    /// What is made, in order, and what is left where each needs the one that it is told with.
    fn made(needs: &[(u8, Option<u8>)]) -> (Vec<u8>, Vec<u8>) {
        let (mut made, mut rounds) = (Vec::new(), Rounds::new(needs.iter().copied()));
        while let Some((name, need)) = rounds.next_one() {
            match need {
                Some(need) if !made.contains(&need) => {
                    rounds.again((name, Some(need)), Error::new(ErrorKind::Refused, "not yet"));
                }
                _ => made.push(name),
            }
        }
        (made, rounds.left().into_iter().map(|((name, _), _)| name).collect())
    }

    #[test]
    fn what_needs_another_comes_behind_it() {
        assert_eq!(made(&[]), (vec![], vec![]));
        assert_eq!(made(&[(1, Some(2)), (2, Some(3)), (3, None)]), (vec![3, 2, 1], vec![]));
    }

    #[test]
    fn a_round_that_makes_nothing_is_the_last() {
        assert_eq!(made(&[(1, Some(9)), (2, Some(3)), (3, None)]), (vec![3, 2], vec![1]));
        assert_eq!(made(&[(1, Some(2)), (2, Some(1))]), (vec![], vec![1, 2]));
    }
}
