/* SPDX-License-Identifier: Apache-2.0 */
/* A channel in an event queue: its loop has turns when the queue's descriptor is readable, and another thread makes
   blocking calls on the same connection, for which it reads itself.

   The code: QueuedLoop::OnNews, OnReady, OnTurn, Rest (queued_loop.cc); Readers::Wait, Look, Rest (readers.cc);
   ReaderRole; Waiting::Poke; Reactor::Schedule.

   The processes: `server` publishes all replies, some for the loop, some for the caller, and rings whoever has asked;
   `queue` is the program's thread, which waits for the descriptor and runs the queue; `caller` makes its calls one after
   the other; `other` ends the connection, or wants something sent, once: it interrupts whoever reads. What is done under
   the session's lock is one step here. No wait has an end.

   It must hold: everybody gets what is his (no invalid end state).

   Mutants: see #ifdef. In turn: replies for both; for the loop only; the program stops running the queue at some time,
   which must not keep the caller.
   Run: -DFOR_LOOP=1 -DFOR_CALLER=2 -DSTOPS=false
   Run: -DFOR_LOOP=3 -DFOR_CALLER=0 -DSTOPS=false
   Run: -DFOR_LOOP=1 -DFOR_CALLER=2 -DSTOPS=true */

#define NOBODY 0
#define LOOP 1
#define CALLER 2

/* The transport. */
byte sent_loop, sent_caller; /* published, and not read */
bool armed, rung;            /* somebody asked to be rung; and was */
bool bell_event, bell_data;  /* in epoll; in the bell, for who waits by himself */
bool interrupted;            /* a wait of the caller's on the transport */
/* ReaderRole. */
byte reader = NOBODY;
bool caller_in_line, caller_poked;
/* Readers, by who reads. */
bool loop_sleeps;
/* QueuedLoop and Reactor. */
bool news, in_turn, scheduled;

byte got_loop, completed, got_caller;
bool asked, answered; /* what `other` wants of who reads */

/* Frames; or the connection has ended, or something may be sent: Rest() looks for these too. */
#define there_is_something (sent_loop + sent_caller > 0 || (asked && !answered))

/* Waiting::Poke of the stand-in. */
inline Tell() {
  if
  :: atomic { !news -> news = true };
     if
     :: in_turn -> skip
     :: else -> scheduled = true
     fi
  :: else
  fi
}

inline Arm(is_something) {
  armed = true;
  rung = false;
  is_something = there_is_something;
  if :: is_something -> armed = false :: else fi
}

/* Of the caller it is read by itself. */
inline ReadAll() {
  atomic {
    completed = completed + sent_loop;
    sent_loop = 0;
    got_caller = got_caller + sent_caller;
    sent_caller = 0;
    if :: asked -> answered = true :: else fi
  }
}

inline LeaveRole(me) {
  atomic {
    if
    :: caller_in_line -> caller_in_line = false; reader = CALLER; caller_poked = true
    :: else -> reader = NOBODY
    fi
  }
}

active proctype server() {
  byte left_loop = FOR_LOOP, left_caller = FOR_CALLER;
  do
  :: left_loop + left_caller == 0 -> break
  :: else ->
     if
     :: left_loop > 0 -> left_loop--; sent_loop++
     :: left_caller > 0 -> left_caller--; sent_caller++
     fi;
     if
     :: atomic { armed && !rung -> rung = true }; bell_data = true; bell_event = true
     :: else
     fi
  od
}

active proctype queue() {
  bool at_rest, is_something;
  do
  :: got_loop == FOR_LOOP && got_caller == FOR_CALLER && answered -> break
  :: STOPS -> break
  :: scheduled || bell_event ->
     atomic { scheduled = false; bell_event = false };
     in_turn = true;
     /* Look */
     if
     :: atomic { reader == NOBODY || reader == LOOP -> reader = LOOP };
        if :: loop_sleeps -> loop_sleeps = false; armed = false :: else fi;
        bell_data = false;
        ReadAll();
        LeaveRole(LOOP)
     :: else
     fi;
     /* the loop's turn */
     news = false;
     atomic { got_loop = got_loop + completed; completed = 0 };
     /* Rest */
     at_rest = true;
     if
     :: atomic { reader == NOBODY || reader == LOOP -> reader = LOOP };
#ifndef MUTANT_DOES_NOT_ASK_TO_RING
        atomic { Arm(is_something) };
        at_rest = !is_something;
        loop_sleeps = at_rest;
#endif
#ifndef MUTANT_KEEPS_THE_ROLE
        LeaveRole(LOOP)
#endif
     :: else
     fi;
#ifdef MUTANT_LOOKS_FOR_NEWS_TOO_EARLY
     at_rest = at_rest && !news;
     in_turn = false;
#else
     in_turn = false;
#ifndef MUTANT_FORGETS_NEWS
     at_rest = at_rest && !news;
#endif
#endif
     if :: !at_rest -> scheduled = true :: else fi
  od
}

active proctype caller() {
  byte want = 0;
  bool is_something;
  do
  :: want == FOR_CALLER -> break
  :: else ->
     want++;
     /* Readers::Wait */
     do
     :: got_caller >= want -> break
     :: else ->
        if
        :: atomic { reader == NOBODY || reader == CALLER -> reader = CALLER; caller_in_line = false; caller_poked = false };
           if :: loop_sleeps -> loop_sleeps = false; armed = false :: else fi;
           if
           :: there_is_something -> ReadAll(); if :: completed > 0 -> Tell() :: else fi
           :: else ->
              atomic { Arm(is_something) };
              if
              :: is_something
              :: else ->
                 atomic {
                   bell_data || interrupted || got_caller >= want -> bell_data = false;
                   interrupted = false;
                   armed = false
                 }
              fi
           fi
        :: atomic { reader == LOOP -> caller_in_line = true };
           atomic { caller_poked || got_caller >= want -> caller_poked = false; caller_in_line = false }
        fi
     od;
     /* LeaveRole */
     if
     :: atomic { reader == CALLER -> reader = NOBODY };
#ifndef MUTANT_STAND_IN_IS_NOT_TOLD
        Tell()
#endif
     :: else
     fi
  od
}

/* The connection ends, or something waits for room: whoever reads is to see to it. */
active proctype other() {
  asked = true;
#ifndef MUTANT_INTERRUPT_FORGETS_THE_STAND_IN
  Tell();
#endif
  if
  :: reader == CALLER -> interrupted = true
  :: else
  fi
}
