/* SPDX-License-Identifier: Apache-2.0 */
/* Who reads on the server: a leader, one that stands by, and the client as the watchdog of both.

   The code: Poller::Serve, WaitForEvents, TakeEvents, DecideWhoLeads, OnSlotGiven, Stop (poller_threads.cc); Work,
   ReadMail, Harvest, RunNext, RunInline, RunOnWorker, GoToSleep (poller_work.cc); HandlerSlots; LateRing.

   The processes: `serve` is a thread of the poller, `worker` one that runs a handler that may block; `client` has CALLS
   calls in flight on the one connection. STUCK of the handlers wait until all the others have answered, and until the
   mail has been read that `other` brings (LookAt). What the code does under the poller's mutex is one step here. That
   an armed poller is rung for a request, and memory orders, are the business of ring.pml and the Relacy tests. epoll
   gives an event to any one thread that waits. The watchdog rings when a handler is stuck and all else stands still,
   once for each call; no other wait has an end.

   It must hold: all calls are answered and all threads end (no invalid end state); never two threads use what belongs to
   the leader (at_work).

   Mutants: see #ifdef. In turn: handlers compete for places; one is stuck; one standby is not enough.
   Run: -DCALLS=2 -DSTUCK=0 -DSLOTS=1 -DWORKERS
   Run: -DCALLS=2 -DSTUCK=1 -DSLOTS=2 -DWORKERS -DLOOK_AT
   Run: -DCALLS=3 -DSTUCK=2 -DSLOTS=3 */
mtype = { WORKING, IN_HANDLER, ASLEEP };

/* Poller, guarded by its mutex. */
byte leader, turn, waiting, last_thread;
mtype state = WORKING;
bool mail_waits, mail_rung, mail_looks;
/* Atomics. */
bool wants_slot, stopping;
byte slots;
/* The leader's. */
bool hot = true;
byte queued;
byte at_work; /* threads that use it */

/* The connection: what stands in its ring, and whether the poller has asked to be rung. */
byte requests;
bool armed;

/* What epoll has to report: the poller's wake-up, whose counter TakeEvents reads, and the bell, which nobody reads. */
bool wake, bell;

byte stuck, answered_late, answered; /* handlers that wait; that have answered after that; that just have answered */

#ifdef LOOK_AT
bool looked;
active proctype other() {
  bool wakes;
  d_step { mail_looks = true; mail_waits = true; wakes = (state != WORKING) };
  d_step { wake = wake || wakes }
}
#else
bool looked = true;
#endif

inline Handler() {
  if
  :: atomic { stuck + answered_late < STUCK -> stuck++ };
     d_step { answered == CALLS - STUCK && looked -> stuck--; answered_late++ }
  :: d_step { answered < CALLS - STUCK -> answered++ }
  fi
}

/* HandlerSlots::Give, then OnSlotGiven. */
inline GiveSlot() {
  slots--;
#ifndef MUTANT_SLOT_GIVEN_IN_SILENCE
  d_step {
    wakes = wants_slot; wants_slot = false;
#ifndef MUTANT_SLOT_IS_NO_MAIL /* a mere wake-up: a standby takes it while the leader goes to sleep */
    if :: wakes -> mail_waits = true; wakes = (state != WORKING) :: else fi
#endif
  };
  d_step { wake = wake || wakes; wakes = false }
#endif
}

proctype worker() {
  bool wakes;
  Handler();
  GiveSlot()
}

inline TakeTheLead() {
  leader = me; state = WORKING
}

inline BeginWork() {
  at_work++; assert(at_work == 1)
}

inline RunInline() {
  d_step { state = IN_HANDLER; turn++; at_work--; wakes = mail_waits };
#ifndef MUTANT_UNREAD_MAIL_WAITS
  d_step { wake = wake || wakes; wakes = false };
#endif
  Handler();
  d_step {
#ifndef MUTANT_LEADER_FOR_EVER
    leads = (leader == me);
#else
    leads = true;
#endif
    if :: leads -> state = WORKING; BeginWork() :: else fi
  };
  GiveSlot()
}

inline TakeSlot() {
  if
  :: queued > 0 && slots < SLOTS -> slots++; queued--; ran = true; wants_slot = false
  :: else
  fi
}

inline RunTaken() {
  if
#ifdef WORKERS
  :: ran -> run worker()
#endif
  :: ran -> RunInline()
  :: else
  fi
}

/* Poller::Work. Ends with leads == false. */
inline Work() {
  do
  :: leads && stopping -> at_work--; leads = false; break
  :: else ->
     d_step { /* ReadMail, Warm, Harvest, RunNext */
       if :: mail_rung && !hot -> armed = false; hot = true :: else fi;
       mail_waits = false; mail_rung = false;
       if :: mail_looks -> mail_looks = false; looked = true :: else fi;
       ran = false; progress = hot && requests > 0;
       if :: progress -> queued = queued + requests; requests = 0 :: else fi;
       TakeSlot()
     };
     RunTaken();
     if
     :: leads && !ran && !progress && queued > 0 ->
        wants_slot = true;
#ifndef MUTANT_NO_SECOND_LOOK_FOR_A_SLOT
        d_step { TakeSlot() };
        RunTaken()
#endif
     :: else
     fi;
     if
     :: leads && !ran && !progress -> /* GoToSleep: the hot connection first */
        d_step { if :: hot && requests == 0 -> armed = true; hot = false :: else fi };
        d_step {
          if
          :: hot || stopping
#ifndef MUTANT_SLEEPS_ON_MAIL
          :: mail_waits
#endif
          :: else -> state = ASLEEP; at_work--; leads = false
          fi
        }
     :: else
     fi;
     d_step { ran = false; progress = false };
     if :: !leads -> break :: else fi
  od
}

proctype serve(byte me) {
  byte seen_turn;
  bool leads, ran, progress, wakes, got_wake, got_bell;
begin: /* Serve, with the mutex */
  atomic {
    if
    :: stopping -> goto leave
    :: else ->
       if :: leader == 0 -> TakeTheLead() :: else fi;
       if
       :: leader == me && state == WORKING -> leads = true; BeginWork()
       :: else -> waiting++; goto sleep
       fi
    fi
  };
  Work();
  atomic {
    if
#ifndef MUTANT_LEADER_STANDS_BY
    :: leader != me && waiting > (state == ASLEEP -> 1 : 0) -> goto leave
#else /* as it was: of two threads the one that sleeps may be the leader itself */
    :: leader != me && waiting != 0 -> goto leave
#endif
    :: else -> goto begin
    fi
  };
sleep: /* WaitForEvents */
  atomic {
    wake || bell;
    got_wake = wake; got_bell = bell;
    wake = false; bell = false
  };
  atomic {
    waiting--;
    if :: got_wake -> wake = false :: else fi; /* a wake-up that has come since is read, too */
    if :: got_bell -> mail_rung = true; mail_waits = true :: else fi;
    got_wake = false; got_bell = false;
decide:
    if
    :: stopping || leader == 0 || state == WORKING -> goto begin
    :: !stopping && leader != 0 && state == ASLEEP -> TakeTheLead(); goto begin
    :: else ->
#ifndef MUTANT_STANDBY_DOES_NOT_WAIT
       seen_turn = turn
#else
       goto begin
#endif
    fi
  };
  atomic { /* SleepUntil is over */
    if
    :: turn != seen_turn -> seen_turn = 0; goto begin
    :: turn == seen_turn && state == IN_HANDLER && leader != 0 && !stopping ->
       TakeTheLead();
#ifndef MUTANT_ONE_STANDBY_IS_ENOUGH
       if :: waiting == 0 -> last_thread++; run serve(last_thread) :: else fi;
#endif
       seen_turn = 0;
       goto begin
    :: else -> seen_turn = 0; goto decide
    fi
  };
leave:
  atomic {
    if :: leader == me -> leader = 0 :: else fi;
#ifndef MUTANT_STOP_WAKES_ONE
    if :: stopping -> wake = true :: else fi
#endif
  }
}

active proctype client() {
  byte sent, rings;
  do
  :: sent < CALLS -> d_step { requests++; sent++; if :: armed -> bell = true :: else fi }
  :: answered + answered_late == CALLS && looked -> break
#ifndef MUTANT_NO_WATCHDOG
  :: timeout && rings < CALLS && stuck > 0 && requests + queued > 0 -> rings++; bell = true
#endif
  od;
  atomic { stopping = true; wake = true } /* Stop */
}

init { atomic { last_thread = 2; run serve(1); run serve(2) } }
