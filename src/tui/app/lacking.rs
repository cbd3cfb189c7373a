//! What a take would lack of what is in an environment: told before anything is taken.

use crate::model::snapshot::Skipped;
use crate::proto::{Request, Target};

use super::super::widget::foreign;
use super::{App, Overlay, Tag};

/// A take that waits until a person has seen what it lacks. Leaving it is what Enter does first.
#[derive(Debug)]
pub(crate) struct Lacking {
    pub(crate) name: String,
    pub(crate) left_out: Vec<Skipped>,
    /// Whether the button that acts is chosen.
    pub(crate) act: bool,
    request: Request,
}

impl Lacking {
    /// The take, with all of this known.
    pub(super) fn request(&self) -> Request {
        let mut request = self.request.clone();
        if let Request::Apply { known, .. } | Request::Merge { known, .. } = &mut request {
            *known = Some(self.left_out.clone());
        }
        request
    }
}

impl App {
    /// Asks for an apply or a merge, and to be told first what it lacks.
    pub(super) fn take(&mut self, request: Request) {
        self.send(request.clone(), Tag::Take(Box::new(request)));
    }

    /// Nothing was taken yet: something would be lacking that nobody was told of.
    pub(super) fn ask_without(&mut self, request: Request, left_out: Vec<Skipped>) {
        let name = match &request {
            Request::Apply { target: Target::Id(id), .. }
            | Request::Merge { target: Target::Id(id), .. } => self.name(id),
            _ => return,
        };
        self.message = None;
        self.dirty = true;
        if self.overlay.is_some() || self.keyboard.is_some() {
            // Keys that are typed for something else must not answer.
            let lacks = first_of(&left_out).unwrap_or_default();
            return self.say_with_hint(
                format!("{name} is not taken: it would lack {lacks}"),
                "take it again to be asked",
            );
        }
        let lacking = Lacking { name, left_out, act: false, request };
        self.overlay = Some(Overlay::Lacking(Box::new(lacking)));
        self.drop_keys();
    }
}

/// The first thing that is left out, with the reason, and how many more there are; `None` where it
/// is nothing but what rules ignore.
pub(crate) fn first_of(left_out: &[Skipped]) -> Option<String> {
    let mut lacking = left_out.iter().filter(|skipped| skipped.is_lacking());
    let first = lacking.next()?;
    let more = match lacking.count() {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    Some(format!("{} ({}){more}", first.path, foreign(&first.reason)))
}
