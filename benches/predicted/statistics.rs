//! The two numbers that say how well one list foretells another.

/// The middle one; the mean of the two middle ones.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => 0.0,
        n if n % 2 == 0 => f64::midpoint(numbers[middle - 1], numbers[middle]),
        _ => numbers[middle],
    }
}

/// Spearman's rank correlation, equal numbers at their mean rank.
pub fn spearman(pairs: &[(f64, f64)]) -> f64 {
    let x = ranks(&pairs.iter().map(|pair| pair.0).collect::<Vec<_>>());
    let y = ranks(&pairs.iter().map(|pair| pair.1).collect::<Vec<_>>());
    let mean = |ranks: &[f64]| ranks.iter().sum::<f64>() / count(ranks.len());
    let (mean_x, mean_y) = (mean(&x), mean(&y));
    let product = |a: &[f64], mean_a: f64, b: &[f64], mean_b: f64| {
        a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum::<f64>()
    };
    let both = product(&x, mean_x, &y, mean_y);
    both / (product(&x, mean_x, &x, mean_x) * product(&y, mean_y, &y, mean_y)).sqrt()
}

/// The same where numbers that are no further apart than this share of the least of them count as equal.
pub fn spearman_tied(pairs: &[(f64, f64)], apart: f64) -> f64 {
    let x = tied(pairs.iter().map(|pair| pair.0).collect(), apart);
    let y = tied(pairs.iter().map(|pair| pair.1).collect(), apart);
    spearman(&x.into_iter().zip(y).collect::<Vec<_>>())
}

/// Every number as the least of its class; a class ends where a number is further from its least.
fn tied(numbers: Vec<f64>, apart: f64) -> Vec<f64> {
    let mut sorted = numbers.clone();
    sorted.sort_by(f64::total_cmp);
    let mut least = Vec::new();
    for number in sorted {
        if least.last().is_none_or(|&last: &f64| number > last * (1.0 + apart)) {
            least.push(number);
        }
    }
    let class = |number: f64| least.iter().copied().rev().find(|&l| l <= number).unwrap_or(number);
    numbers.into_iter().map(class).collect()
}

fn ranks(numbers: &[f64]) -> Vec<f64> {
    let rank = |number: &f64| {
        let less = numbers.iter().filter(|other| *other < number).count();
        let same = numbers.iter().filter(|other| other.total_cmp(number).is_eq()).count();
        count(less) + f64::midpoint(count(same), -1.0)
    };
    numbers.iter().map(rank).collect()
}

#[allow(clippy::cast_precision_loss, reason = "a few dozen")]
fn count(count: usize) -> f64 {
    count as f64
}
