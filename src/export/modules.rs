//! From components to the modules of a model in transformers: the shortest list of paths that puts every tensor on
//! its device.
//!
//! Paths are those of tensors in a layout ([`crate::model::Model::layout`]), and a module stands for all tensors below it, so
//! every tensor is at or below exactly one of the paths. A list of modules (layers, experts) is never one of them:
//! nothing calls it, so hooks on it would move no activations.

use std::collections::BTreeMap;

use crate::model::{ComponentId, Tensor};

/// A path with its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Module {
    /// Dotted, from the model.
    pub(super) path: String,
    /// Its device index.
    pub(super) device: usize,
    /// The component of the first tensor at or below it.
    pub(super) component: ComponentId,
}

/// The modules that hold these tensors, in the order of the tensors; `home` is the device of a component.
pub(super) fn modules(
    tensors: &[Tensor],
    home: impl Fn(ComponentId) -> Option<usize>,
) -> Vec<Module> {
    let mut tree = Tree::default();
    for tensor in tensors {
        if let Some(device) = home(tensor.component) {
            tree.insert(&tensor.name, device, tensor.component);
        }
    }
    let mut modules = Vec::new();
    tree.collect(0, "", &mut modules);
    modules
}

/// A path in a tree, and what is below it.
#[derive(Debug)]
struct Node {
    children: BTreeMap<String, usize>,
    /// Children as they came first.
    order: Vec<(String, usize)>,
    /// The one device of all below, until two are found.
    device: Option<usize>,
    component: ComponentId,
}

#[derive(Debug, Default)]
struct Tree(Vec<Node>);

impl Tree {
    fn insert(&mut self, name: &str, device: usize, component: ComponentId) {
        if self.0.is_empty() {
            self.add(device, component);
        }
        let mut at = 0;
        self.see(at, device);
        for part in name.split('.') {
            at = if let Some(&child) = self.0[at].children.get(part) {
                child
            } else {
                let child = self.add(device, component);
                self.0[at].children.insert(part.to_owned(), child);
                self.0[at].order.push((part.to_owned(), child));
                child
            };
            self.see(at, device);
        }
    }

    fn add(&mut self, device: usize, component: ComponentId) -> usize {
        let (children, order) = (BTreeMap::new(), Vec::new());
        self.0.push(Node { children, order, device: Some(device), component });
        self.0.len() - 1
    }

    fn see(&mut self, at: usize, device: usize) {
        let node = &mut self.0[at];
        node.device = node.device.filter(|&other| other == device);
    }

    fn collect(&self, at: usize, path: &str, modules: &mut Vec<Module>) {
        let Some(node) = self.0.get(at) else { return };
        let index = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
        let is_list = !node.children.is_empty() && node.children.keys().all(index);
        match node.device {
            Some(device) if !path.is_empty() && !is_list => {
                let component = node.component;
                modules.push(Module { path: path.to_owned(), device, component });
            }
            _ => {
                for (name, child) in &node.order {
                    let dot = if path.is_empty() { "" } else { "." };
                    self.collect(*child, &format!("{path}{dot}{name}"), modules);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Layout, Model};

    fn paths(layout: Layout, home: impl Fn(ComponentId) -> Option<usize>) -> Vec<(String, usize)> {
        let model = Model::from_catalogue("mixtral-8x7b").unwrap();
        let modules = modules(&model.layout(layout).unwrap(), home);
        modules.into_iter().map(|module| (module.path, module.device)).collect()
    }

    #[test]
    fn whole_layers_are_one_path_and_lists_are_none() {
        let half = |id: ComponentId| Some(usize::from(id.layer().is_none_or(|layer| layer > 15)));
        let paths = paths(Layout::Published, half);
        assert_eq!(paths.len(), 1 + 32 + 2);
        assert_eq!(paths[1], ("model.layers.0".to_owned(), 0));
        assert_eq!(paths.last(), Some(&("lm_head".to_owned(), 1)));
    }

    #[test]
    fn experts_on_one_device_are_still_apart_unless_they_are_one_module() {
        let away = |id: ComponentId| Some(usize::from(id.expert().is_some()));
        let published = paths(Layout::Published, away);
        assert!(published.contains(&("model.layers.3.block_sparse_moe.experts.7".to_owned(), 1)));
        assert!(!published.iter().any(|(path, _)| path.ends_with("experts")));
        let fused = paths(Layout::Transformers5, away);
        assert!(fused.contains(&("model.layers.3.mlp.experts".to_owned(), 1)));
        assert!(fused.contains(&("model.layers.3.mlp.gate".to_owned(), 0)));
    }
}
