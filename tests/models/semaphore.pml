/* SPDX-License-Identifier: Apache-2.0 */
/* The semaphore on which a client sleeps, and a peer that may write it.

   The code: base::Semaphore, Post, PostToAll, Wait; ShmTransport::Wait and Interrupt (the mark `interrupted`). FutexWait
   and FutexWake are one step each, as they are in the kernel: compare and stand in line; take from the line.

   The processes: `waiter` sleeps until it has seen the news of both `poster`s and the mark of `interrupter`, which all
   say first and then post; `clock` is the waiter's deadline.
   PEER 0: an honest one, and the deadline never comes: nothing is to rely on it. The waiter's counts do not.
   PEER 1: another thread stands in line before the waiter, and nobody posts but the interrupter, who is of its own process.
   PEER 2: it writes what it likes at any time, and wakes whom it likes. The deadline comes at some time.

   PEER 3: it takes counts away from a waiter who sleeps. Who wakes does not rely on them.

   It must hold: 0, 1, 3: nobody sleeps for good (no invalid end state). 2: the waiter ends, and after its deadline it
   goes to sleep no more than once, which it was about to.

   Run: -DPEER=0
   Run: -DPEER=1
   Run: -DPEER=2
   Run: -DPEER=3 */
#ifndef PEER
#define PEER 0
#endif

#define LIMIT 4 /* the count has fewer values than 2^32, more than are posted */

byte count;
byte line;          /* who stand in the kernel's line, each a bit */
#define WAITER 1
#define OTHER 2
bool other_first;   /* who of them came first */
bool news[2], interrupted, deadline;
byte late;          /* sleeps begun after the deadline */

inline Count() { d_step { count = (count + 1) % LIMIT } }

/* FutexWake of one, the first in the line. */
inline WakeOne() {
  d_step {
    if
    :: (line & OTHER) && other_first -> line = line & WAITER
    :: else -> line = line & OTHER
    fi
  }
}

inline Post() {
#ifndef MUTANT_WOKEN_BEFORE_IT_COUNTS
  Count();
  WakeOne()
#else
  WakeOne();
  Count()
#endif
}

inline PostToAll() {
  Count();
#ifndef MUTANT_INTERRUPT_WAKES_ONE
  d_step { line = 0 }
#else
  WakeOne()
#endif
}

proctype poster(byte which) {
  news[which] = true;
#ifdef MUTANT_NO_WAKE
  Count()
#else
  Post()
#endif
}

proctype interrupter() {
  interrupted = true;
  PostToAll()
}

/* True in `had` if there was a count. */
inline Take() {
#ifndef MUTANT_TAKEN_IN_TWO_STEPS
  d_step { had = (count != 0); count = 0 }
#else
  had = (count != 0);
  count = 0
#endif
}

inline Wait() {
  rung = false;
  do
  :: true ->
     Take();
     if
     :: had || rung -> break
     :: else
     fi;
#ifndef MUTANT_NO_CLOCK
     if
     :: deadline -> break
     :: else
     fi;
#endif
     atomic {
       late = late + (deadline -> 1 : 0);
       assert(late <= 1);
       if
#ifndef MUTANT_KERNEL_DOES_NOT_COMPARE
       :: count != 0 -> rung = true
#endif
       :: else -> line = line | WAITER
       fi
     };
     atomic { !(line & WAITER) || deadline ->
       if
       :: line & WAITER -> line = line & OTHER /* ETIMEDOUT */
#ifndef MUTANT_WOKEN_IS_NOT_RUNG
       :: else -> rung = true
#else
       :: else
#endif
       fi
     }
  od
}

proctype waiter() {
  bool had, rung;
  do
  :: deadline -> break
  :: (PEER == 1 || (news[0] && news[1])) && interrupted -> break
  :: else -> Wait()
  od
}

proctype other() {
  atomic { line = line | OTHER; other_first = !(line & WAITER) };
end:
  !(line & OTHER)
}

proctype peer() {
end:
  do
  :: count = 0
  :: count = 1
  :: d_step { line = 0 }
  od
}

proctype thief() {
end:
  do
  :: atomic { (line & WAITER) && count != 0 -> count = 0 }
  od
}

proctype clock() {
  deadline = true
}

init {
  atomic {
    run waiter();
    run interrupter();
#if PEER == 1
    run other();
#else
    run poster(0);
    run poster(1);
#endif
#if PEER == 2
    run peer();
    run clock();
#endif
#if PEER == 3
    run thief();
#endif
  }
}
