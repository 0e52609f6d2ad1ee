/* SPDX-License-Identifier: Apache-2.0 */
/* The asynchronous calls of one connection, and the thread that sends, reads and calls back for all of them.

   The code: AsyncCalls::Start, StartLocked, EnsureThread (async_calls.cc); Turn, HasChores, RunCallbacks, MoveElsewhere,
   BeginWaiting, WaitForNews (call_loop.cc); CompletionQueue; Callers::TryBegin, LeaveLine, Release, FailAll, Retire;
   ClientSession::OnPeerGone, Publish, and what Wait needs of Read.

   The processes: `user` starts all calls but the last, which a callback starts, if one runs after that; `thread` is
   AsyncCalls' own; `other` makes blocking calls, which take one of the PLACES; `server` answers what has been sent, and
   may at any time tell the connection to take no more calls, or hang up; `stopper` asks for the end of a call that has not been
   sent, be it in the queue or on its way to another connection. What the code does with the locks of AsyncCalls
   and of the session is one step here. No wait has an end but that of a thread with nothing to do.

   It must hold: each call is answered, fails with the connection, or goes elsewhere (no invalid end state); and the one that
   was asked to end has ended so.

   Mutants: see #ifdef. In turn: without a connection at first; too few places.
   Run: -DCALLS=3 -DPLACES=2 -DCONNECTED=false
   Run: -DCALLS=4 -DPLACES=1 -DCONNECTED=true */

/* AsyncCalls, guarded by its mutex. */
byte waiting, in_flight, started;
byte leaving; /* taken out, and not started elsewhere yet */
bool connected = CONNECTED, idle, running;
/* CompletionQueue. */
byte completed, ended_unsent;
bool news;
/* Callers. */
byte in_use;
bool in_line; /* the queue waits for a place */
bool retired, gone, failed_all;
/* The transport: requests that the server has not answered, replies that nobody has read. */
byte sent, replies;
byte unpublished; /* what callbacks have started, and the server need not see yet */

byte ended;
bool asked, stopped;

#define usable (connected && !retired && !gone)

inline Poke() {
  news = true
}

/* Callers::Release, by whoever had the place. */
inline GiveBackPlace() {
  in_use--;
  if
#ifndef MUTANT_PLACE_GIVEN_IN_SILENCE
  :: in_line -> Poke()
#endif
  :: else
  fi
}

inline Enqueue() {
  waiting++;
#ifndef MUTANT_QUEUED_IN_SILENCE
  Poke()
#endif
}

/* A call in flight: sent, unless nobody is there. */
inline Begin(on_thread) {
  in_use++;
  in_flight++;
  if
  :: failed_all -> completed++; Poke()
  :: !failed_all && on_thread -> unpublished++
  :: else -> sent++
  fi
}

inline Start(on_thread) {
  atomic {
    started++;
    if
    :: !running -> running = true; run thread()
    :: else
    fi;
    if
    :: connected && !usable -> ended++ /* elsewhere */
    :: usable && waiting == 0 && in_use < PLACES ->
       Begin(on_thread);
#ifndef MUTANT_IDLE_THREAD_IS_NOT_TOLD
       if :: idle -> Poke() :: else fi
#endif
    :: usable && waiting == 0 && in_use == PLACES -> in_line = true; Enqueue()
    :: else -> Enqueue()
    fi
  }
}

inline RunCallbacks() {
  do
  :: atomic {
       completed > 0 -> completed--; in_flight--; GiveBackPlace(); ended++;
       calls_back = (started == CALLS - 1)
     };
     if :: calls_back -> Start(true) :: else fi
  :: atomic { ended_unsent > 0 -> ended_unsent--; ended++ }
  :: completed == 0 && ended_unsent == 0 -> break
  od
}

inline MoveElsewhere() {
  atomic {
    if
    :: connected && !usable -> leaving = waiting; waiting = 0
    :: else
    fi
  };
  do
  :: atomic { leaving > 0 -> leaving--; ended++ }
  :: leaving == 0 -> break
  od
}

inline BeginWaiting() {
  do
  :: atomic {
       waiting > 0 && connected && !usable -> /* Begun::kGone */
#ifndef MUTANT_GONE_IN_SILENCE /* as it was: its turn does not come while the thread waits */
       Poke();
#endif
       break
     }
  :: atomic { waiting > 0 && usable && in_use < PLACES -> waiting--; in_line = false; Begin(true) }
  :: atomic { waiting > 0 && usable && in_use == PLACES -> in_line = true; break }
  :: atomic { !connected -> break }
  :: atomic { waiting == 0 && connected -> in_line = false; break }
  od
}

/* ClientSession::Wait, with the role of the reader. */
inline Wait() {
  do
  :: news -> break
  :: atomic { !news && replies > 0 -> replies--; completed++; Poke() }
  :: atomic {
       !news && replies == 0 && gone && !failed_all ->
       failed_all = true;
       completed = completed + sent; /* all that are in the table */
       if :: sent > 0 -> Poke() :: else fi;
       sent = 0;
       if :: in_line -> Poke() :: else fi
     }
  od
}

proctype thread() {
  bool calls_back, chores, nothing_left;
  do
  ::
#ifndef MUTANT_NEWS_FORGOTTEN_LATE
     news = false;
#endif
     RunCallbacks();
     chores = (waiting > 0 || in_line || (connected && !usable));
     if
     :: chores ->
        atomic { if :: waiting > 0 -> connected = true :: else fi };
        MoveElsewhere();
        BeginWaiting()
     :: else
     fi;
#ifndef MUTANT_NOT_PUBLISHED
     atomic { sent = sent + unpublished; unpublished = 0 };
#endif
#ifdef MUTANT_NEWS_FORGOTTEN_LATE
     news = false;
#endif
     atomic {
       nothing_left = (in_flight == 0 && waiting == 0);
       idle = (in_flight == 0 && (waiting == 0 || !connected))
     };
     if
     :: !idle -> Wait()
     :: else -> if :: news :: nothing_left /* has been for long */ fi
     fi;
     atomic {
       idle = false;
       if
#ifndef MUTANT_ENDS_UNSEEN
       :: nothing_left && !news -> running = false; break
#else
       :: nothing_left -> running = false; break
#endif
       :: else
       fi
     }
  od
}

active proctype user() {
  do
  :: started < CALLS - 1 -> Start(false)
  :: else -> break
  od;
  ended == started;
  assert(!asked || stopped)
}

/* AsyncCalls::Cancel of a call that is not in flight. */
active proctype stopper() {
  if
  :: atomic { waiting > 0 -> asked = true; stopped = true; waiting--; ended_unsent++; Poke() }
  :: atomic {
       leaving > 0 -> asked = true;
#ifndef MUTANT_STOP_LOST_ON_THE_WAY /* as it was: it passed for one that has ended */
       stopped = true
#endif
     }
  :: true /* none, or too late */
  fi
}

active proctype other() {
  byte times;
  do
  :: atomic { times < 2 && in_use < PLACES -> in_use++; times++ };
     atomic { GiveBackPlace() }
  :: break
  od
}

active proctype server() {
  bool retires, goes;
  if :: retires = true :: skip fi;
  if :: goes = true :: skip fi;
end:
  do
  :: atomic { sent > 0 && !gone -> sent--; replies++ }
  :: atomic { connected && retires && !retired -> retired = true }
  :: atomic { connected && goes && !gone -> gone = true }
  od
}
