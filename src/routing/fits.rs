//! Whether statistics can be those of a model.

use super::Statistics;
use crate::error::Error;
use crate::model::Model;

impl Statistics {
    /// Whether these can be statistics of the model: a row for each of its layers, as many experts where it
    /// has experts and none where it has none, as many of them per token. Names are not compared: fine-tuned
    /// models have the shape of what they were made from, and counts of their own.
    ///
    /// # Errors
    /// Other layers, experts, or experts per token.
    pub fn fits(&self, model: &Model) -> Result<(), Error> {
        let refuse = |place: &str, expected: String, found: String| {
            let of = format!("{}, {}", self.model, self.text);
            Err(Error::new("use the routing statistics")
                .object(of)
                .place(place)
                .expected(expected)
                .found(found)
                .hint(format!(
                    "`{}` needs statistics of its own: see `apportion profile`",
                    model.name
                )))
        };
        let experts = model.experts_by_layer();
        if experts.iter().all(|&experts| experts == 0) {
            let found = format!("`{}`, which is dense", model.name);
            return refuse("counts", "a model with experts".to_owned(), found);
        }
        if self.counts.len() != experts.len() {
            let found = self.counts.len().to_string();
            return refuse("counts", format!("{} layers", experts.len()), found);
        }
        for (layer, (row, &experts)) in self.counts.iter().zip(&experts).enumerate() {
            if u32::try_from(row.len()) != Ok(experts) {
                let expected = format!("{experts} experts");
                return refuse(&format!("layer {layer}"), expected, row.len().to_string());
            }
        }
        let per_token = u64::from(model.geometry.experts_per_token);
        if self.top_k != per_token {
            let expected = format!("{per_token} experts for a token");
            return refuse("top_k", expected, self.top_k.to_string());
        }
        Ok(())
    }
}
