/* SPDX-License-Identifier: Apache-2.0 */
/* Who waits until a new call may begin: for a slot of the table, or until fewer bytes wait for room.

   The code: WaitingCall::Begin; Callers::TryBegin, LeaveLine, Fail, Release, TellNext; SlotLine; ClientSession::Pump, and
   what of Wait and Read it needs; ReaderRole; Outbox::PumpSome, bytes_waiting.

   The processes: `caller` makes a blocking call, which ends as soon as it has begun; of call 0 the wait may be cancelled,
   and call 2 is urgent.
   `other` is a call in flight that has ended by its deadline, at any time, while KEPT frames of its request wait for
   room: nobody reads any more then, but for those who wait for a slot. `server` reads. What is done under the session's
   lock is one step here. No wait has an end.

   It must hold: all callers begin, those of a lane in their order and the urgent one before them, or are cancelled (no
   invalid end state).

   Mutants: see #ifdef. */
#define CALLERS 3
#define SLOTS 2
#define URGENT 2
#define KEPT 2
#define CAPACITY 1
#define NOBODY 9

byte in_use = 1, kept = KEPT, ring = CAPACITY;
chan line = [CALLERS] of { byte }; /* SlotLine: the two of one lane */
bool urgent_waits;               /* and the other lane */
bool cancelled[CALLERS], poked[CALLERS], waits_for_role[CALLERS], begun[CALLERS];
byte reader = NOBODY;
bool interrupted;

#define full (in_use == SLOTS || kept > 0)
#define IsNext(me) (!full && (me == URGENT || (!urgent_waits && (empty(line) || line?[eval(me)]))))
#define has_room (ring < CAPACITY)

/* Within the session's lock. */
inline Tell(call) {
  poked[call] = true;
#ifndef MUTANT_READER_IS_NOT_INTERRUPTED
  if :: reader == call -> interrupted = true :: else fi
#else
  skip
#endif
}

inline TellNext() {
  if
  :: !full && urgent_waits -> Tell(URGENT)
  :: !full && !urgent_waits && line?[0] -> Tell(0)
  :: !full && !urgent_waits && line?[1] -> Tell(1)
  :: else
  fi
}

inline Release() {
  d_step {
    in_use--;
#ifndef MUTANT_END_TELLS_NOBODY
    TellNext()
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
        d_step { TellNext() }
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
  :: atomic { /* TryBegin */
       if
       :: cancelled[me] -> break
       :: !cancelled[me] && IsNext(me) -> in_use++; begun[me] = true; break
       :: else ->
          if
          :: !linked && me == URGENT -> urgent_waits = true; linked = true
          :: !linked && me != URGENT -> line!me; linked = true
          :: else
          fi
       fi
     };
     do /* Wait */
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
    if
    :: linked && me == URGENT -> urgent_waits = false
    :: linked && me != URGENT -> line??eval(me)
    :: else
    fi;
#ifndef MUTANT_NEXT_IS_NOT_TOLD
    TellNext()
#endif
  };
  if :: begun[me] -> Release() :: else fi
}

active proctype other() {
  Release()
}

active proctype canceller() {
  if
  :: atomic { !begun[0] -> cancelled[0] = true; Tell(0) }
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
