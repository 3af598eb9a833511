//! The assignment problem: as many columns as rows, one to one, for the least total cost.
//!
//! The Hungarian method with potentials (Kuhn 1955; shortest augmenting paths), `n^3` steps, in integers.

/// More than any sum of real costs: a pair that is forbidden costs this.
pub(super) const FORBIDDEN: i64 = 1 << 44;

/// Rows in shortest augmenting path order, with what is known of the columns.
struct Matching<'a> {
    cost: &'a dyn Fn(usize, usize) -> i64,
    /// Potentials of rows and columns; index 0 is nobody's.
    rows: Vec<i64>,
    columns: Vec<i64>,
    /// Per column the row that has it, from 1; 0 for none.
    row_of: Vec<usize>,
}

/// Per row its column, for the least sum of `cost(row, column)`; `None` when that takes a forbidden pair.
/// Costs add up to within +-2^43, or are [`FORBIDDEN`].
pub(super) fn assign(n: usize, cost: &dyn Fn(usize, usize) -> i64) -> Option<Vec<usize>> {
    let zeros = || vec![0; n + 1];
    let mut matching = Matching { cost, rows: zeros(), columns: zeros(), row_of: vec![0; n + 1] };
    (1..=n).for_each(|row| matching.augment(row, n));
    let mut column_of = vec![0; n];
    for (column, &row) in matching.row_of.iter().enumerate().skip(1) {
        column_of[row - 1] = column - 1;
    }
    let possible = column_of.iter().enumerate().all(|(row, &column)| cost(row, column) < FORBIDDEN);
    possible.then_some(column_of)
}

impl Matching<'_> {
    /// Gives `row` a column, moving others along the cheapest path.
    fn augment(&mut self, row: usize, n: usize) {
        let mut slack = vec![i64::MAX; n + 1];
        let mut from = vec![0; n + 1];
        let mut done = vec![false; n + 1];
        let mut column = 0;
        self.row_of[0] = row;
        loop {
            done[column] = true;
            let at = self.row_of[column];
            let mut nearest = (i64::MAX, 0);
            for next in (1..=n).filter(|&next| !done[next]) {
                let reduced = (self.cost)(at - 1, next - 1) - self.rows[at] - self.columns[next];
                if reduced < slack[next] {
                    slack[next] = reduced;
                    from[next] = column;
                }
                nearest = nearest.min((slack[next], next));
            }
            for other in 0..=n {
                if done[other] {
                    self.rows[self.row_of[other]] += nearest.0;
                    self.columns[other] -= nearest.0;
                } else {
                    slack[other] -= nearest.0;
                }
            }
            column = nearest.1;
            if self.row_of[column] == 0 {
                break;
            }
        }
        while column != 0 {
            let before = from[column];
            self.row_of[column] = self.row_of[before];
            column = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every permutation of `n`.
    fn permutations(n: usize) -> Vec<Vec<usize>> {
        if n == 0 {
            return vec![Vec::new()];
        }
        let mut all = Vec::new();
        for shorter in permutations(n - 1) {
            for at in 0..n {
                let mut longer = shorter.clone();
                longer.insert(at, n - 1);
                all.push(longer);
            }
        }
        all
    }

    #[test]
    fn it_is_the_best_of_all_permutations() {
        let mut state = 7_u64;
        for case in 0..400 {
            let n = 1 + case % 6;
            let mut draw = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let drawn = i64::try_from(state >> 33 & 63).unwrap();
                if drawn == 0 { FORBIDDEN } else { drawn - 30 }
            };
            let costs: Vec<Vec<i64>> = (0..n).map(|_| (0..n).map(|_| draw()).collect()).collect();
            let sum = |of: &[usize]| of.iter().enumerate().map(|(r, &c)| costs[r][c]).sum::<i64>();
            let best = permutations(n).iter().map(|of| sum(of)).min().unwrap();
            match assign(n, &|row, column| costs[row][column]) {
                Some(found) => assert_eq!(sum(&found), best, "{costs:?}"),
                None => assert!(best >= FORBIDDEN / 2, "{costs:?}"),
            }
        }
    }
}
