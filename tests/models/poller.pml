/* SPDX-License-Identifier: Apache-2.0 */
/* Who reads on the server: a leader, one that stands by, and the client as the watchdog of both.

   The code: Lead; ServingThreads::Serve; Poller::Work, ReadMail, RunNext, RunInline, GiveLeadAway, LeadFor, Stop; TurnRunner;
   Resumptions; Intake::Harvest, ArmAll; HandlerSlots; LateRing.

   The processes: `serve` is a thread of the poller, `worker` one that runs a handler that may block; `client` has CALLS
   calls in flight on the one connection. STUCK of the handlers wait until all the others have answered, and until the
   mail has been read that `other` brings (LookAt; the turn of a handler that has begun comes in the same way, and is then
   queued as a request is). With WAITS_IN_OURS they wait in the runtime, which gives the lead away
   (Poller::InlineRun), so that nobody needs the watchdog; with LEADS_ON their thread leads on before it does, and takes
   the lead from a leader that sleeps. What the code does under the lead's mutex is one step here. That
   an armed poller is rung for a request, and memory orders, are the business of ring.pml and the Relacy tests. epoll
   gives an event to any one thread that waits. The watchdog rings when a handler is stuck and all else stands still,
   once for each call; no other wait has an end.

   It must hold: all calls are answered and all threads end (no invalid end state); never two threads use what belongs to
   the leader (at_work).

   Mutants: see #ifdef. In turn: handlers compete for places; one is stuck; one standby is not enough; two wait in the
   runtime.
   Run: -DCALLS=2 -DSTUCK=0 -DSLOTS=1 -DWORKERS
   Run: -DCALLS=2 -DSTUCK=1 -DSLOTS=2 -DWORKERS -DLOOK_AT
   Run: -DCALLS=3 -DSTUCK=2 -DSLOTS=3
   Run: -DCALLS=3 -DSTUCK=2 -DSLOTS=3 -DWAITS_IN_OURS
   Run: -DCALLS=2 -DSTUCK=1 -DSLOTS=2 -DWAITS_IN_OURS -DLOOK_AT
   Run: -DCALLS=2 -DSTUCK=1 -DSLOTS=2 -DWAITS_IN_OURS -DLOOK_AT -DLEADS_ON */
mtype = { WORKING, IN_HANDLER, ASLEEP };

/* Lead, guarded by its mutex. */
byte leader, turn, waiting, last_thread, serving, in_handlers;
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

/* By the leader: ArmAll, FallAsleepInHandler or GiveAway. (That another one stands by afterwards is for the next stuck
   handler: not here.) */
inline GiveLeadAway() {
  d_step { if :: queued == 0 && hot && requests == 0 -> armed = true; hot = false :: else fi };
  d_step {
    at_work--; leader = 0;
    if
#ifndef MUTANT_GIVES_AWAY_ASLEEP_IN_SILENCE
    :: hot || stopping || mail_waits || queued > 0 -> state = WORKING; wakes = true
#endif
    :: else -> state = ASLEEP
    fi
  };
#ifndef MUTANT_GIVES_AWAY_IN_SILENCE
  d_step { wake = wake || wakes };
#endif
  wakes = false
}

inline MakeSureOfAnother() {
  atomic {
    if
#ifndef MUTANT_GIVES_AWAY_TO_NOBODY
    :: gives && serving == in_handlers -> last_thread++; serving++; run serve(last_thread)
#endif
    :: else
    fi
  }
}

/* Poller::InlineRun: its thread is about to wait until the others have answered. */
inline AboutToWait() {
#ifdef WAITS_IN_OURS
  gives = false;
#ifdef LEADS_ON
  d_step { /* LeadOn */
    if
    :: serving > in_handlers && leader == me -> state = WORKING; at_work++; assert(at_work == 1); gives = true
    :: serving > in_handlers && leader != me && state == ASLEEP ->
       leader = me; state = WORKING; at_work++; assert(at_work == 1); gives = true; armed = false; hot = true
    :: else -> /* StopHandler */
       if
       :: leader == me && state == IN_HANDLER -> state = WORKING; at_work++; assert(at_work == 1); gives = true
       :: else
       fi
    fi
  };
  MakeSureOfAnother();
  if
  :: gives -> /* LeadFor: a round */
     d_step {
       if :: mail_rung && !hot -> armed = false; hot = true :: else fi;
       mail_waits = false; mail_rung = false;
       if :: mail_looks -> mail_looks = false; looked = true :: else fi;
       if :: hot && requests > 0 -> queued = queued + requests; requests = 0 :: else fi
     };
     if
     :: answered == CALLS - STUCK && looked && queued == 0 -> /* it has come: GoOn */
        d_step { state = IN_HANDLER; turn++; at_work--; wakes = mail_waits };
        d_step { wake = wake || wakes; wakes = false }
     :: else -> GiveLeadAway()
     fi
  :: else
  fi;
#else
  d_step { /* StopHandler */
    if
    :: leader == me && state == IN_HANDLER -> state = WORKING; at_work++; assert(at_work == 1); gives = true
    :: else
    fi
  };
  MakeSureOfAnother();
  if :: gives -> GiveLeadAway() :: else fi;
#endif
  gives = false
#else
  skip
#endif
}

inline Handler() {
  if
  :: atomic { stuck + answered_late < STUCK -> stuck++ };
     AboutToWait();
     d_step { answered == CALLS - STUCK && looked -> stuck--; answered_late++ }
  :: d_step { answered < CALLS - STUCK -> answered++ }
  fi
}

/* HandlerSlots::Give, then OnPlaceGiven. */
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
  byte me = 255;
  bool wakes, gives;
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
  d_step { state = IN_HANDLER; turn++; at_work--; in_handlers++; wakes = mail_waits };
#ifndef MUTANT_UNREAD_MAIL_WAITS
  d_step { wake = wake || wakes; wakes = false };
#endif
  Handler();
  d_step {
    in_handlers--;
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
  bool leads, ran, progress, wakes, gives, got_wake, got_bell;
begin: /* Lead::Next */
  atomic {
    if
    :: stopping -> goto leave
    :: else ->
       if :: leader == 0 -> TakeTheLead() :: else fi;
       if
       :: leader == me && state == WORKING -> leads = true; BeginWork()
#ifndef MUTANT_LEADER_STANDS_BY
       :: leader != me && waiting > (state == ASLEEP -> 1 : 0) -> goto leave
#else /* of two threads the one that sleeps may be the leader itself */
       :: leader != me && waiting != 0 -> goto leave
#endif
       :: else -> waiting++; goto sleep
       fi
    fi
  };
  Work();
  goto begin;
sleep: /* Bells::Wait, Lead::Awake */
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
       if :: waiting == 0 -> last_thread++; serving++; run serve(last_thread) :: else fi;
#endif
       seen_turn = 0;
       goto begin
    :: else -> seen_turn = 0; goto decide
    fi
  };
leave:
  atomic {
    if :: leader == me -> leader = 0 :: else fi;
    serving--;
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
#if !defined(MUTANT_NO_WATCHDOG) && !defined(WAITS_IN_OURS)
  :: timeout && rings < CALLS && stuck > 0 && requests + queued > 0 -> rings++; bell = true
#endif
  od;
  atomic { stopping = true; wake = true } /* Stop */
}

init { atomic { last_thread = 2; serving = 2; run serve(1); run serve(2) } }
