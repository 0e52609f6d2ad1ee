/* SPDX-License-Identifier: Apache-2.0 */
/* How a call ends, exactly once: by its reply, its deadline, a cancel, or the death of the server; whoever of the waiting
   callers reads for all.

   The code: WaitingCall::Begin, Wait, Fail; ClientSession::Wait, Read, WaitForPeer, Cancel, OnPeerGone; Callers::TryBegin,
   Fail, FailAll, TakeAnswered, Release; Receiver::Deliver; PeerWait::Sleep; ReaderRole; CallTable; Waiter::Finish, Poke,
   Wait; CompletionQueue; AsyncCalls::Run, RunCallbacks, WaitForNews, over a connection that takes no more calls.

   The processes: `caller` makes a blocking call; call 0 may be cancelled, call 1 has a deadline. `async` is the thread
   of ASYNC asynchronous calls, which is gone, and its queue with it, when they have ended. `server` answers in any
   order, each call or none, and may die; when call 0 has ended it may also stop to do anything. What is done under the
   session's lock is one step here, and so is what is done under the queue's. That the reader sleeps no longer than
   until a reply or an interrupt comes is ring.pml's business; all other waits have no end.

   It must hold: each call has one outcome, written by one; nobody touches a call or a queue that is gone; all end (no
   invalid end state).

   Mutants: see #ifdef.
   Run: -DBLOCKING=2 -DASYNC=0
   Run: -DBLOCKING=1 -DASYNC=2 */
#define CALLS 4
#define FIRST_ASYNC 2
#define QUEUE 2 /* its thread, among those who wait */
#define NOBODY 9

/* The calls: in the table, how often they have ended, whether their owner still has them, what the server does. */
bool in_table[CALLS], exists[CALLS], sent[CALLS];
byte outcomes[CALLS];
byte replies; /* a bit for each reply in the ring */
bool killed, peer_gone;

/* Who waits: callers and the thread of the queue. */
bool finished[3], poked[3], waits_for_role[3];
byte reader = NOBODY;
bool interrupted;

/* CompletionQueue. */
bool queue_exists = true, news;
byte completed; /* calls in it, a bit for each */

#define Bit(call) (1 << (call))

inline EndWith(call) {
  assert(exists[call]);
  outcomes[call]++;
  assert(outcomes[call] == 1)
}

/* Within the session's lock. */
inline End(call) {
  EndWith(call);
  if
  :: call >= FIRST_ASYNC ->
     completed = completed | Bit(call);
     news = true;
     poked[QUEUE] = true;
     if :: reader == QUEUE -> interrupted = true :: else fi
  :: else ->
     finished[call] = true;
#ifndef MUTANT_READER_IS_NOT_TOLD
     if :: reader == call -> interrupted = true :: else fi
#endif
  fi
}

inline Take(call, taken) {
  taken = in_table[call];
#ifndef MUTANT_NOT_TAKEN_OUT
  in_table[call] = false
#endif
}

/* Of the reader, who holds no lock. */
inline Deliver(call) {
  d_step {
    replies = replies & ~Bit(call);
    Take(call, taken)
  };
  if
  :: taken ->
     EndWith(call);
     if
     :: call >= FIRST_ASYNC -> /* CompletionQueue::Push */
#ifndef MUTANT_POKED_AFTER_PUSH
        d_step { assert(queue_exists); completed = completed | Bit(call); news = true; poked[QUEUE] = true }
#else /* as it was: the calls of the queue may have run out, and it with them, before it is poked */
        completed = completed | Bit(call);
        d_step { assert(queue_exists); news = true; poked[QUEUE] = true }
#endif
     :: else -> finished[call] = true
     fi
  :: else
  fi
}

inline FailAll() {
  d_step {
    if :: in_table[0] -> in_table[0] = false; End(0) :: else fi;
    if :: in_table[1] -> in_table[1] = false; End(1) :: else fi;
    if :: in_table[2] -> in_table[2] = false; End(2) :: else fi;
    if :: in_table[3] -> in_table[3] = false; End(3) :: else fi
  }
}

/* TakeFrames and Sleep of a reader `me`, until `ready` or (may_expire) its time is up. */
inline Read(me, ready, may_expire) {
  do
  :: was_dead = peer_gone;
     progress = false;
     do
     :: !(ready) && (replies & 1) -> progress = true; Deliver(0)
     :: !(ready) && (replies & 2) -> progress = true; Deliver(1)
     :: !(ready) && (replies & 4) -> progress = true; Deliver(2)
     :: !(ready) && (replies & 8) -> progress = true; Deliver(3)
     :: ready || replies == 0 -> break
     od;
     if
     :: ready -> break
     :: !(ready) && !progress && was_dead -> FailAll(); break
     :: else
     fi;
     if
     :: !progress && !(ready) && !peer_gone ->
        if
        :: atomic { replies != 0 || interrupted -> interrupted = false }
        :: may_expire -> expired = true; break
        fi
     :: else
     fi
  od;
  was_dead = false;
  progress = false;
  taken = false
}

inline Wait(me, ready, may_expire) {
  do
  :: ready || expired -> break
  :: else ->
     d_step {
       if :: reader == NOBODY -> reader = me :: else fi;
       reads = (reader == me);
       waits_for_role[me] = !reads
     };
     if
     :: reads -> Read(me, ready, may_expire)
     :: else ->
        if
        :: atomic { finished[me] || poked[me] -> poked[me] = false }
        :: may_expire -> expired = true
        fi
     fi
  od;
  atomic { /* LeaveRole */
    waits_for_role[me] = false;
    if
    :: reader == me ->
       reader = NOBODY;
#ifndef MUTANT_ROLE_IS_DROPPED
       if
       :: waits_for_role[0] -> waits_for_role[0] = false; reader = 0; poked[0] = true
       :: waits_for_role[1] -> waits_for_role[1] = false; reader = 1; poked[1] = true
       :: waits_for_role[2] -> waits_for_role[2] = false; reader = 2; poked[2] = true
       :: else
       fi
#endif
    :: else
    fi
  }
}

/* CallTable::Release: the call is its owner's alone. */
inline Release(call) {
  atomic { assert(!in_table[call] && outcomes[call] == 1); exists[call] = false }
}

proctype caller(byte me) {
  bool was_dead, progress, taken, reads, expired;
  exists[me] = true;
  atomic { /* TryBegin */
    if
    :: peer_gone -> EndWith(me); goto ended
    :: else -> in_table[me] = true
    fi
  };
  sent[me] = true;
  Wait(me, finished[me], me == 1);
  d_step { /* WaitingCall::Fail */
    if :: !finished[me] && in_table[me] -> in_table[me] = false; End(me) :: else fi
  };
#ifndef MUTANT_OWNER_DOES_NOT_WAIT /* for whoever is just ending the call */
  finished[me];
#endif
ended:
  Release(me)
}

proctype async() {
  bool was_dead, progress, taken, reads, expired;
  byte in_flight = ASYNC;
  d_step { exists[2] = true; exists[3] = true; in_table[2] = true; in_table[3] = true };
  d_step { sent[2] = true; sent[3] = true };
  do
  :: news = false;
     do /* RunCallbacks */
     :: completed & 4 -> completed = completed & ~4; Release(2); in_flight--
     :: completed & 8 -> completed = completed & ~8; Release(3); in_flight--
     :: completed == 0 -> break
     od;
     if
     :: in_flight > 0 -> Wait(QUEUE, news, false)
     :: else -> if :: !news -> break :: else fi
     fi
  od;
  queue_exists = false
}

active proctype server() {
  do
  :: !killed && sent[0] -> d_step { sent[0] = false; replies = replies | 1 }
  :: !killed && sent[1] -> d_step { sent[1] = false; replies = replies | 2 }
  :: !killed && sent[2] -> d_step { sent[2] = false; replies = replies | 4 }
  :: !killed && sent[3] -> d_step { sent[3] = false; replies = replies | 8 }
  :: !killed -> killed = true; break
#if ASYNC == 0
  :: outcomes[0] == 1 -> goto stopped
#endif
  od;
  peer_gone = true; /* OnPeerGone */
#ifndef MUTANT_DEATH_WAKES_NOBODY
  d_step { if :: reader != NOBODY -> interrupted = true :: else fi };
#endif
stopped:
  skip
}

/* Cancel. The owner unregisters what calls this before it gives up the call. */
active proctype canceller() {
end:
  d_step { exists[0] && in_table[0] -> in_table[0] = false; End(0) }
}

init {
  atomic {
    run caller(0);
    if :: BLOCKING == 2 -> run caller(1) :: else fi;
    if :: ASYNC == 2 -> run async() :: else fi
  }
}
