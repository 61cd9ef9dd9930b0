//! What was recorded becomes hits: the rings of all tasks, merged by time.

use super::clock::Clock;
use super::tell::{Call, Teller};
use super::{Patched, Recorded, Recorder};
use crate::base::Pid;
use crate::base::addr::Addr;
use crate::base::regs::{Regs, View};
use crate::base::time::Timestamp;
use crate::engine::hit::What;
use crate::engine::supervisor::out::Out;
use crate::engine::supervisor::state::Supervisor;
use crate::engine::task::SpaceId;
use crate::event::Request;
use crate::plan::Tracepoint;
use crate::record::ring::Kind;
use crate::record::{Record, Seen, Shared, header};
use crate::sys::ticks;
use std::sync::Arc;

/// So many records are read before anything else is looked at.
const MOST: usize = 16 << 10;
/// How much is read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Share {
    /// All that was recorded up to now.
    All,
    /// So much of it that other things are not waited for too long.
    Much,
}

impl Share {
    /// Whether more is read behind so many records. What is asked for meanwhile can wait for all that came before the
    /// stop of a task, but for the end.
    fn goes_on(self, count: usize, out: &Out<'_>) -> bool {
        match self {
            Share::All => out.request != Some(Request::End),
            Share::Much => count < MOST && out.request.is_none(),
        }
    }
}

/// So many records are read before their room is given back.
const BATCH: usize = 512;

impl Supervisor {
    /// Tells of what has been recorded in all spaces up to now, or much of it; says how many records that were.
    pub(in crate::engine) fn drain_all(&mut self, out: &mut Out<'_>, share: Share) -> usize {
        let ids: Vec<SpaceId> = self.spaces.keys().copied().collect();
        ids.into_iter().map(|id| self.drain(id, out, share)).sum()
    }

    /// Tells of what has been recorded in a space up to now, or much of it.
    pub(in crate::engine) fn drain(
        &mut self,
        id: SpaceId,
        out: &mut Out<'_>,
        share: Share,
    ) -> usize {
        let Some(space) = self.spaces.get_mut(&id) else {
            return 0;
        };
        let Some(mut recorder) = space.recorder.take() else {
            return 0;
        };
        recorder.clock.set(|| out.now());
        recorder
            .patched
            .code
            .forget_pages(Shared(recorder.memory.words()));
        // What comes meanwhile is for the next time: a thread may be faster than we are.
        let now = ticks::now();
        let mut queue = recorder.queue(now);
        let (mut count, mut given_back) = (0, 0);
        while share.goes_on(count, out)
            && let Some((index, until)) = queue.pop(now)
        {
            count += self.drain_ring(&mut recorder, (index, until), id, share, out);
            recorder.queue_up(&mut queue, index, now);
            if count - given_back >= BATCH {
                given_back = count;
                recorder.make_room(out);
            }
        }
        recorder.queue = queue;
        recorder.make_room(out);
        out.at(None);
        if let Some(space) = self.spaces.get(&id) {
            recorder.make_trampolines(&space.memory);
        }
        if let Some(space) = self.spaces.get_mut(&id) {
            space.recorder = Some(recorder);
        }
        count
    }

    /// Tells of one task's records up to this moment.
    fn drain_ring(
        &mut self,
        recorder: &mut Recorder,
        (index, until): (usize, u64),
        id: SpaceId,
        share: Share,
        out: &mut Out<'_>,
    ) -> usize {
        let Recorder {
            patched,
            memory,
            rings,
            clock,
            ..
        } = recorder;
        let Some(ring) = rings.used.get_mut(index) else {
            return 0;
        };
        let task = (ring.writer(), id);
        let reader = &mut ring.reader;
        let shapes = patched.code.shapes();
        let Some(teller) = Teller::new(self, task, ring.thread_pointer, out) else {
            // No task is there that could have written it.
            reader.take(shapes);
            return 1;
        };
        let shared = Shared(memory.words());
        let mut records = Records {
            patched,
            clock,
            shared,
            regs: [Seen::registers(ring.thread_pointer); 2],
            teller,
        };
        let mut count = 0;
        let is_next = |time: Option<u64>| time.is_some_and(|time| time <= until);
        while count < BATCH
            && share.goes_on(count, records.teller.out)
            && is_next(reader.time(shared, shapes))
        {
            let Some((record, back)) = reader.take_with_return(shapes, until) else {
                break;
            };
            count += 1 + usize::from(back.is_some());
            records.tell(&record, back.as_ref());
        }
        records.teller.settle();
        // Looked at and not taken.
        count.max(1)
    }
}

/// What it takes to tell of one task's records.
struct Records<'a, 'o> {
    patched: &'a Patched,
    clock: &'a mut Clock,
    shared: Shared<'a>,
    /// The registers of a call, and of its return.
    regs: [Regs; 2],
    teller: Teller<'a, 'o>,
}

impl Records<'_, '_> {
    /// Tells of a record, and of the return behind it if it is a call's.
    #[inline]
    fn tell(&mut self, record: &Record<'_>, back: Option<&Record<'_>>) {
        let points = &self.patched.points;
        let point = points.get(record.number as usize).and_then(Option::as_ref);
        let Some(point) = point else {
            return;
        };
        let Records {
            clock,
            regs,
            teller,
            ..
        } = self;
        teller.out.at(Some(clock.time(record.time)));
        let back = back.map(|back| (clock.time(back.time), back));
        if record.kind == Kind::Return {
            returned(teller, (record, &mut regs[0]), &point.point);
            return;
        }
        let return_address = Addr(self.patched.code.caller(record.word, self.shared));
        if teller.is_meant(point, &self.patched.callees, record.frame, return_address) {
            called(teller, (record, back), regs, point, return_address);
        } else if let Some((time, back)) = back {
            teller.out.at(Some(time));
            returned(teller, (back, &mut regs[0]), &point.point);
        }
    }
}

impl Recorder {
    /// Gives the room of what was read back, wakes who waits for it, and tells what found none.
    fn make_room(&mut self, out: &mut Out<'_>) {
        let shared = Shared(self.memory.words());
        shared.store(
            header::PROGRESS,
            shared.load(header::PROGRESS).wrapping_add(1),
        );
        for ring in &mut self.rings.used {
            if ring.reader.release(shared) {
                self.memory.wake(ring.reader.futex());
            }
            let (tid, lost) = (ring.tid, ring.reader.take_lost(shared));
            if lost > 0 {
                let what = format!(
                    "{lost} calls and returns of task {tid} were not recorded: ltrace was too slow"
                );
                out.tell(
                    Pid(0),
                    tid,
                    What::Lost {
                        what: &what,
                        count: Some(lost),
                    },
                );
            }
        }
    }
}

/// A call, and its return if that was next.
fn called<'a>(
    teller: &mut Teller<'a, '_>,
    (record, back): (&Record<'_>, Option<(Timestamp, &Record<'_>)>),
    [regs, regs_back]: &mut [Regs; 2],
    recorded: &'a Recorded,
    return_address: Addr,
) {
    let call = Call {
        point: &recorded.point,
        frame: record.frame,
        return_address,
        at_callee: recorded.callee.is_some(),
    };
    let ip = recorded.entry.unwrap_or(return_address);
    let seen = Seen::new(record, regs, ip.0);
    let Some((ended, back)) = back else {
        teller.called(&call, seen.view(teller.space));
        return;
    };
    let errno = teller.space.errno(teller.thread_pointer);
    let back = Seen::new(back, regs_back, return_address.0);
    let view = View {
        errno,
        ..back.view(teller.space)
    };
    teller.complete(&call, seen.view(teller.space), (ended, view));
}

fn returned(
    teller: &mut Teller<'_, '_>,
    (record, regs): (&Record<'_>, &mut Regs),
    point: &Arc<Tracepoint>,
) {
    if let Some(return_address) = teller.caller(record.frame, point) {
        let seen = Seen::new(record, regs, return_address.0);
        let view = View {
            errno: teller.space.errno(teller.thread_pointer),
            ..seen.view(teller.space)
        };
        teller.returned(point, record.frame, return_address, view);
    }
}
