/* SPDX-License-Identifier: Apache-2.0 */
/* A stream: elements and credit both ways, half-close, the reply, a cancel. Nobody waits for ever, and what waits unread
   is bounded.

   The code: session/credit.h; Stream Take, TakeArrivals, BeginElement; StreamingCall Take, WaitReadable, BeginElement,
   Drain; ServerStreamImpl ReadNext, WaitForCredit, WaitFor.

   The processes: `writer` and `client_reader` are two threads of the client. The first sends ELEMENTS elements of any of
   two sizes, one of them larger than the window, and half-closes; the second reads some answers and discards the others
   (Finish), or cancels. `handler` reads all and answers each. `to_server` and `to_client` are whoever reads frames at
   each end. Credit comes in any order among elements. A side that waits looks first, and sleeps until it is poked.

   It must hold: no element comes without credit, no credit beyond the window; unread is at most a window and one
   element; all processes end.

   Mutants: see #ifdef. */
#define ELEMENTS 3
#define WINDOW 2
#define HALF 1
#define LARGE 3
#define END 0

chan up = [ELEMENTS + 1] of { byte };      /* elements by size; END: half-close */
chan up_credit = [4] of { byte };          /* of what the server sends */
chan down = [ELEMENTS + 1] of { byte };    /* elements; END: the reply */
chan down_credit = [4] of { byte };

/* One direction: 0 up, 1 down. The sender's credit, what the receiver lets in, what has come, what was read. */
short credit[2] = WINDOW;
short window[2] = WINDOW;
chan arrived[2] = [ELEMENTS] of { byte };
byte unread[2];
byte count[2];                             /* read, and not given back */
bool half_closed, replied, cancelled;
bool poked[4];                             /* 0 writer, 1 client_reader, 2 handler that reads, 3 handler that writes */

#ifdef MUTANT_LARGE_WAITS_FOR_ALL_ITS_CREDIT
#define MAY_BEGIN(d, size) (credit[d] >= size)
#else
#define MAY_BEGIN(d, size) (credit[d] > 0)
#endif

inline Sleep(who) { poked[who]; poked[who] = false }

inline Come(d, size, who) {
  d_step {
    assert(window[d] > 0);
    window[d] = window[d] - size;
    unread[d] = unread[d] + size;
    assert(unread[d] <= WINDOW - 1 + LARGE);
    arrived[d]!size;
#ifdef MUTANT_CREDIT_BEFORE_IT_IS_READ
    window[d] = window[d] + size;
    if :: d == 0 -> down_credit!size :: else -> up_credit!size fi;
#endif
    poked[who] = true
  }
}

inline GiveBack(d, size) {
  d_step {
    unread[d] = unread[d] - size;
    count[d] = count[d] + size;
    give = 0;
    if
#ifdef MUTANT_CREDIT_BY_MORE_THAN_A_WINDOW
    :: count[d] > WINDOW + LARGE -> give = count[d]
#elif defined MUTANT_CREDIT_BEFORE_IT_IS_READ
    :: false
#else
    :: count[d] >= HALF -> give = count[d]
#endif
    :: else
    fi;
    if :: give > 0 -> count[d] = 0; window[d] = window[d] + give :: else fi
  };
  if
  :: give > 0 && d == 0 -> down_credit!give
  :: give > 0 && d == 1 -> up_credit!give
  :: else
  fi
}

active proctype writer() {
  byte sent, size;
  bool begun;
  do
  :: sent == ELEMENTS || replied || cancelled -> break
  :: else ->
     if :: size = 1 :: size = LARGE fi;
     begun = false;
     do
     :: begun || replied || cancelled -> break
     :: else ->
#ifndef MUTANT_NEWS_IS_FORGOTTEN_AFTER_THE_LOOK
        poked[0] = false;
#endif
        atomic {
          if
          :: MAY_BEGIN(0, size) -> credit[0] = credit[0] - size; begun = true
          :: else
          fi
        };
        if
        :: begun
        :: else ->
#ifdef MUTANT_NEWS_IS_FORGOTTEN_AFTER_THE_LOOK
           poked[0] = false;
#endif
           if :: replied || cancelled :: else -> Sleep(0) fi
        fi
     od;
     if :: begun -> up!size; sent++ :: else fi
  od;
  if :: replied || cancelled :: else -> up!END fi
}

/* Reads `wanted` answers; then Finish: the others are dropped, but their credit is not. */
active proctype client_reader() {
  byte size, wanted, got, give;
  bool cancels;
  select (wanted : 0 .. ELEMENTS);
  if :: cancels = true :: skip fi;
  do
  :: cancelled -> break
  :: else ->
     poked[1] = false;
     if
     :: arrived[1]?size ->
        got++;
#ifdef MUTANT_WHAT_IS_DISCARDED_GIVES_NO_CREDIT
        if :: got <= wanted -> GiveBack(1, size) :: else -> unread[1] = unread[1] - size fi
#else
        GiveBack(1, size)
#endif
     :: empty(arrived[1]) && replied -> break
     :: empty(arrived[1]) && !replied ->
        if
        :: Sleep(1)
        :: d_step {
             cancels -> cancelled = true;
             poked[0] = true;
#ifndef MUTANT_A_CANCEL_WAKES_WHO_READS_ONLY
             poked[3] = true;
#endif
             poked[2] = true
           }
        fi
     fi
  od
}

active proctype handler() {
  byte size, give;
  bool begun;
  do
  :: cancelled -> break
  :: else ->
     poked[2] = false;
     if
     :: cancelled -> break
     :: !cancelled && arrived[0]?[size] ->
        arrived[0]?size;
        GiveBack(0, size);
        begun = false;
        do
        :: begun || cancelled -> break
        :: else ->
           poked[3] = false;
           if
           :: cancelled
           :: else ->
              atomic {
                if
                :: MAY_BEGIN(1, size) -> credit[1] = credit[1] - size; begun = true
                :: else
                fi
              };
              if :: begun :: else -> Sleep(3) fi
           fi
        od;
        if :: begun -> down!size :: else fi
     :: !cancelled && empty(arrived[0]) && half_closed -> break
     :: !cancelled && empty(arrived[0]) && !half_closed -> Sleep(2)
     fi
  od;
  down!END
}

active proctype to_server() {
  byte size;
end:
  do
  :: up?size ->
     if
     :: size == END ->
        d_step {
          half_closed = true;
#ifndef MUTANT_A_HALF_CLOSE_IS_NOT_TOLD
          poked[2] = true
#endif
        }
     :: else -> Come(0, size, 2)
     fi
  :: up_credit?size -> d_step { credit[1] = credit[1] + size; assert(credit[1] <= WINDOW); poked[3] = true }
  od
}

active proctype to_client() {
  byte size;
end:
  do
  :: down?size ->
     if
     :: size == END -> d_step { replied = true; poked[0] = true; poked[1] = true }
     :: else -> Come(1, size, 1)
     fi
  :: down_credit?size -> d_step { credit[0] = credit[0] + size; assert(credit[0] <= WINDOW); poked[0] = true }
  od
}
