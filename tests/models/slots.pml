/* SPDX-License-Identifier: Apache-2.0 */
/* Who waits until a new call may begin: for a place in the table, or until fewer bytes wait for room.

   The code: ClientSession::Begin, BeginsOrFails, full, PokeNextForSlot, PokeCall, End, Cancel, Pump, and what of WaitUntil,
   TakeRole, LeaveRole and Read it needs; Outbox::PumpSome, bytes_waiting.

   The processes: `caller` makes a blocking call, which ends as soon as it has begun; of call 0 the wait may be cancelled.
   `other` is a call in flight that has ended by its deadline, at any time, while KEPT frames of its request wait for
   room: nobody reads any more then, but for those who wait for a place. `server` reads. What is done under the session's
   lock is one step here. No wait has an end.

   It must hold: all callers begin, in their order, or are cancelled (no invalid end state).

   Mutants: see #ifdef. */
#define CALLERS 3
#define PLACES 2
#define KEPT 2
#define CAPACITY 1
#define NOBODY 9

byte in_use = 1, kept = KEPT, ring = CAPACITY;
chan order = [CALLERS] of { byte }; /* slot_queue_ */
bool cancelled[CALLERS], poked[CALLERS], waits_for_role[CALLERS], begun[CALLERS];
byte reader = NOBODY;
bool interrupted;

#define full (in_use == PLACES || kept > 0)
#define IsNext(me) (!full && (empty(order) || order?[eval(me)]))
#define has_room (ring < CAPACITY)

/* Within the session's lock. */
inline PokeCall(call) {
  poked[call] = true;
#ifndef MUTANT_READER_IS_NOT_INTERRUPTED
  if :: reader == call -> interrupted = true :: else fi
#else
  skip
#endif
}

inline PokeNextForSlot() {
  if
  :: !full && order?[0] -> PokeCall(0)
  :: !full && order?[1] -> PokeCall(1)
  :: !full && order?[2] -> PokeCall(2)
  :: else
  fi
}

inline End() {
  d_step {
    in_use--;
#ifndef MUTANT_END_TELLS_NOBODY
    PokeNextForSlot()
#endif
  }
}

/* Looks once more, now that it has the role and will be interrupted. */
inline Read() {
  if
#ifndef MUTANT_NO_LOOK_WITH_THE_ROLE
  :: cancelled[me] || IsNext(me)
#endif
  :: else ->
     if
     :: d_step { kept > 0 && has_room -> kept--; ring++ };
#ifndef MUTANT_ROOM_TELLS_NOBODY /* as it was: who sends what was kept tells nobody that it has gone */
        d_step { PokeNextForSlot() }
#endif
     :: d_step { interrupted -> interrupted = false }
     fi
  fi
}

inline LeaveRole() {
  d_step {
    waits_for_role[me] = false;
    if
    :: reader == me ->
       reader = NOBODY;
       if
       :: waits_for_role[0] -> reader = 0
       :: !waits_for_role[0] && waits_for_role[1] -> reader = 1
       :: !waits_for_role[0] && !waits_for_role[1] && waits_for_role[2] -> reader = 2
       :: else
       fi;
       if :: reader != NOBODY -> waits_for_role[reader] = false; poked[reader] = true :: else fi
    :: else
    fi
  }
}

proctype caller(byte me) {
  bool linked, reads;
  do
  :: atomic { /* Begin, with the lock */
       if
       :: cancelled[me] -> break
       :: !cancelled[me] && IsNext(me) -> in_use++; begun[me] = true; break
       :: else -> if :: !linked -> order!me; linked = true :: else fi
       fi
     };
     do /* WaitUntil */
     :: cancelled[me] || IsNext(me) -> break
     :: else ->
#ifndef MUTANT_NOBODY_READS /* as it was: each waits for the others */
        d_step {
          if :: reader == NOBODY -> reader = me :: else fi;
          reads = (reader == me);
          waits_for_role[me] = !reads
        };
#endif
        if
        :: reads -> Read()
        :: else -> d_step { poked[me] -> poked[me] = false }
        fi
     od;
     LeaveRole()
  od;
  atomic {
    if :: linked -> order??eval(me) :: else fi;
#ifndef MUTANT_NEXT_IS_NOT_TOLD
    PokeNextForSlot()
#endif
  };
  if :: begun[me] -> End() :: else fi
}

active proctype other() {
  End()
}

active proctype canceller() {
  if
  :: atomic { !begun[0] -> cancelled[0] = true; PokeCall(0) }
  :: skip
  fi
}

active proctype server() {
end:
  do
  :: d_step { ring > 0 -> ring-- }
  od
}

init { atomic { run caller(0); run caller(1); run caller(2) } }
