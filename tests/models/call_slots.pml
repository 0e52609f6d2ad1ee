/* SPDX-License-Identifier: Apache-2.0 */
/* The slots of calls, at both ends: a call has its slot until its reply, and not until somebody loses patience.

   The code: CallTable Insert, Take, TakeAnswered, Release; ServedCalls Add, Remove, Cancel; Answer
   Give.

   The processes: `caller` makes CALLS calls one after the other in the first free of SLOTS slots; it gives each up at
   any time, or waits for the reply. `reader` takes replies, whoever waits. `server` takes requests in order and cancels
   (which come another way) at any time, and answers calls in any order; who has answered a call is done with it later.

   It must hold: no request comes in a slot whose call is unanswered; a cancel marks its own call only, or none; all
   calls end, and then no slot is taken, at either end.

   Mutants: see #ifdef. */
#define CALLS 3
#define SLOTS 2
#define NONE 0

byte client_slot[SLOTS];       /* the call that has it */
bool released[CALLS + 1], answered[CALLS + 1], cancel_sent[CALLS + 1];
byte server_slot[SLOTS];       /* the call that has it, until it is removed */
byte early[SLOTS];             /* a cancel that came before its call */
bool slot_is_free[CALLS + 1], marked[CALLS + 1], read[CALLS + 1];
byte slot_of[CALLS + 1];
byte done;

chan requests = [CALLS] of { byte };
chan replies = [CALLS] of { byte };
chan cancels = [CALLS] of { byte };

inline FreeIfOver(call) {
  if
  :: released[call] && answered[call] -> client_slot[slot_of[call]] = NONE
  :: else
  fi
}

active proctype caller() {
  byte call = 1;
  do
  :: call > CALLS -> break
  :: else ->
     if
     :: d_step { client_slot[0] == NONE -> slot_of[call] = 0; client_slot[0] = call }
     :: d_step { client_slot[0] != NONE && client_slot[1] == NONE -> slot_of[call] = 1; client_slot[1] = call }
     fi;
     requests!call;
     if
     :: answered[call] -> skip
     :: cancel_sent[call] = true; cancels!call
     fi;
     d_step {
       released[call] = true;
#ifdef MUTANT_GIVEN_UP_IS_FREE
       client_slot[slot_of[call]] = NONE;
#else
       FreeIfOver(call)
#endif
     };
     call++
  od
}

active proctype reader() {
  byte call;
  do
  :: replies?call ->
     d_step { answered[call] = true; FreeIfOver(call); done++ }
  :: done == CALLS -> break
  od
}

/* The poller reads; the monitor takes cancels. */
active proctype server() {
  byte call, slot;
  do
  :: requests?call ->
     d_step {
       slot = slot_of[call];
       assert(server_slot[slot] == NONE || slot_is_free[server_slot[slot]]);
       server_slot[slot] = call;
       read[call] = true;
       if :: early[slot] == call -> marked[call] = true :: else fi;
       early[slot] = NONE
     }
  :: cancels?call ->
     d_step {
       slot = slot_of[call];
       if
       :: server_slot[slot] == call -> marked[call] = true
#ifdef MUTANT_LATE_CANCEL_COUNTS
       :: server_slot[slot] != NONE && server_slot[slot] != call -> marked[server_slot[slot]] = true
#endif
       :: else -> if :: call > early[slot] -> early[slot] = call :: else fi
       fi;
       assert(!marked[call] || cancel_sent[call])
     }
  :: done == CALLS -> break
  od
}

inline Answer() {
#ifdef MUTANT_FREE_AFTER_THE_REPLY
  replies!call;
  slot_is_free[call] = true;
#else
  slot_is_free[call] = true;
  replies!call;
#endif
  d_step {
    if
#ifdef MUTANT_THE_SLOTS_NEXT_IS_REMOVED
    :: true -> server_slot[slot_of[call]] = NONE
#else
    :: server_slot[slot_of[call]] == call -> server_slot[slot_of[call]] = NONE
    :: else
#endif
    fi
  }
}

#define Take(slot) d_step { server_slot[slot] != NONE && read[server_slot[slot]] -> call = server_slot[slot]; read[call] = false }

/* Whoever answers: any thread, in any order. */
active [2] proctype handler() {
  byte call;
  do
  :: Take(0); Answer()
  :: Take(1); Answer()
  :: done == CALLS -> break
  od
}

/* All has ended: nobody was marked whose caller had not given up, and every slot is free. */
active proctype judge() {
  done == CALLS;
  byte i = 1;
  do
  :: i > CALLS -> break
  :: else -> assert(!marked[i] || cancel_sent[i]); i++
  od;
  (released[CALLS]);
  (client_slot[0] == NONE && client_slot[1] == NONE);
  (server_slot[0] == NONE && server_slot[1] == NONE)
}
