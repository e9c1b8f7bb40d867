use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use super::protocol::Action;

/// What a test does before and after a step: it gets the step's name, and whether it was done.
type Call = dyn Fn(String, bool) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// Where a test lets the world go wrong.
#[derive(Clone, Default)]
pub struct Hook(Option<Arc<Call>>);

impl Hook {
    /// Awaits what `call` answers before and after each step.
    pub fn new<F>(call: impl Fn(String, bool) -> F + Send + Sync + 'static) -> Hook
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Hook(Some(Arc::new(move |step, is_done| Box::pin(call(step, is_done)))))
    }

    pub(super) async fn call(&self, action: Action, is_done: bool) {
        if let Some(call) = &self.0 {
            call(format!("{action:?}"), is_done).await;
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "a hook" } else { "no hook" })
    }
}
