/* SPDX-License-Identifier: Apache-2.0 */
/* The rings of transport shm, how one side wakes the other, and what is left of it when one of them is killed.

   The code: RingWriter::Reserve, Commit, Publish, HasRoom; RingReader::Peek, Release, HasFrame; ShmTransport::Notify,
   Release, Arm, Disarm, Wait, Interrupt; SemaphoreBell::Ring, Wait; ClientSession::Read and OnPeerGone (how the reader
   finds out that the peer has gone).

   The processes: `writer` sends MSGS frames into a ring of CAP, and sleeps for room when it is full; `reader` takes them,
   and sleeps for frames. Each may be killed between any two steps. `memory` is the store buffer of each processor: a
   store is seen by others some time after it was made, in order (x86); a seq_cst store waits until it is seen.
   `monitor` is the monitor's thread of the side that survives. All timed waits are without end here: nothing is to rely
   on them.

   It must hold: frames arrive once, in order and whole, never more than CAP are on their way; what was sent before the
   writer's death arrives; nobody sleeps for good (no invalid end state).

   Mutants: see #ifdef. */
#define MSGS 3
#define CAP 2

#define FRAMES 1
#define ROOM 2

/* Shared words, as in layout.h, and the ring. */
byte ring[CAP];
byte tail, head, writer_interest, reader_interest;
/* The bells: tokens of the semaphores. */
byte writer_bell, reader_bell;

#define RING 0 /* + index */
#define TAIL 10
#define HEAD 11
#define WRITER_INTEREST 12
#define READER_INTEREST 13
chan writer_stores = [3] of { byte, byte };
chan reader_stores = [3] of { byte, byte };

bool writer_killed, reader_killed, writer_ended, reader_ended;
bool writer_interrupted, reader_interrupted; /* ShmTransport::interrupted_ */
bool reader_hears, writer_hears;             /* peer_gone_ */
byte got;

#define Word(interest, sleeps) (((sleeps) << 2) | (interest))

inline Seen(address, value) {
  if
  :: address == TAIL -> tail = value
  :: address == HEAD -> head = value
  :: address == WRITER_INTEREST -> writer_interest = value
  :: address == READER_INTEREST -> reader_interest = value
  :: else -> ring[address] = value
  fi
}

active proctype memory() {
  byte address, value;
end:
  do
  :: d_step { writer_stores?address, value -> Seen(address, value); address = 0; value = 0 }
  :: d_step { reader_stores?address, value -> Seen(address, value); address = 0; value = 0 }
  od
}

/* A killed process makes no further store; what it has made is still seen. */
#define Store(stores, address, value) stores!address, value
#define StoreSeqCst(stores, address, value) stores!address, value; empty(stores)

inline Ring(bell) {
  d_step { if :: bell < 3 -> bell++ :: else fi }
}

/* SemaphoreBell::Wait, which takes all there is; the interrupt mark before and after. */
inline Wait(bell, interrupted) {
  if
  :: atomic { interrupted -> interrupted = false }
  :: else ->
     atomic { bell > 0 -> bell = 0 };
     interrupted = false
  fi
}

inline Interrupt(bell, interrupted) {
  interrupted = true;
  Ring(bell)
}

proctype writer() {
  byte sent, own_sleeps, interest, rung_for, seen_head;
  bool was_gone;
  {
    do
    :: sent == MSGS -> break
    :: else ->
       seen_head = head;
       if
       :: sent - seen_head < CAP -> /* Reserve, Fill, Commit, Publish, Notify */
#ifndef MUTANT_TAIL_BEFORE_FRAME
          Store(writer_stores, RING + sent % CAP, sent + 1);
          Store(writer_stores, TAIL, sent + 1);
#else
          Store(writer_stores, TAIL, sent + 1);
          Store(writer_stores, RING + sent % CAP, sent + 1);
#endif
          sent++;
#ifndef MUTANT_NO_PUBLISH /* the tail's release store is all there is */
          StoreSeqCst(writer_stores, TAIL, sent);
#endif
          interest = reader_interest;
          if
          :: (interest & FRAMES) && interest != rung_for -> rung_for = interest; Ring(reader_bell)
          :: else
          fi
       :: else ->
          if
          :: writer_hears -> break /* the outbox is closed */
          :: else
          fi;
          own_sleeps++;
          StoreSeqCst(writer_stores, WRITER_INTEREST, Word(ROOM, own_sleeps));
          if
#ifndef MUTANT_NO_SECOND_LOOK_FOR_ROOM
          :: sent - head < CAP
#endif
          :: else ->
             if
             :: !writer_hears -> Wait(writer_bell, writer_interrupted)
             :: else
             fi
          fi;
          Store(writer_stores, WRITER_INTEREST, Word(0, own_sleeps))
       fi
    od
  } unless { writer_killed };
  writer_ended = true
}

proctype reader() {
  byte own_head, own_sleeps, interest, rung_for, seen_tail;
  bool was_gone;
  {
    do
    :: own_head == MSGS -> break
    :: else ->
#ifndef MUTANT_GONE_AFTER_LOOK
       was_gone = reader_hears;
       seen_tail = tail;
#else
       seen_tail = tail;
       was_gone = reader_hears;
#endif
       if
       :: seen_tail != own_head -> /* Peek, CopyOut, Pop, Release */
          assert(seen_tail - own_head <= CAP);
          assert(ring[own_head % CAP] == own_head + 1);
          own_head++;
          got = own_head;
#ifndef MUTANT_HEAD_NOT_SEQ_CST
          StoreSeqCst(reader_stores, HEAD, own_head);
#else
          Store(reader_stores, HEAD, own_head);
#endif
          interest = writer_interest;
          if
          :: (interest & ROOM) && interest != rung_for -> rung_for = interest; Ring(writer_bell)
          :: else
          fi
       :: seen_tail == own_head && was_gone -> break /* FailAll */
       :: else -> /* Arm, Wait, Disarm */
          own_sleeps++;
#if defined(MUTANT_INTEREST_NOT_SEQ_CST)
          Store(reader_stores, READER_INTEREST, Word(FRAMES, own_sleeps));
#elif defined(MUTANT_SLEEPS_NOT_COUNTED) /* rung once, and never again */
          StoreSeqCst(reader_stores, READER_INTEREST, Word(FRAMES, 0));
#else
          StoreSeqCst(reader_stores, READER_INTEREST, Word(FRAMES, own_sleeps));
#endif
          if
#ifndef MUTANT_NO_SECOND_LOOK
          :: tail != own_head
#endif
          :: else ->
             if
             :: !reader_hears -> Wait(reader_bell, reader_interrupted)
             :: else
             fi
          fi;
          Store(reader_stores, READER_INTEREST, Word(0, own_sleeps))
       fi
    od;
    assert(got == MSGS || (writer_killed && got == tail && empty(writer_stores)))
  } unless { reader_killed };
  reader_ended = true
}

/* The kernel kills at most one of them, at any moment; its stores are seen before its socket hangs up. */
active proctype killer() {
  if
  :: atomic { !writer_ended -> writer_killed = true }
  :: atomic { !reader_ended -> reader_killed = true }
  :: skip
  fi
}

/* OnPeerGone */
active proctype monitor() {
end:
  if
  :: writer_killed && writer_ended && empty(writer_stores) ->
     reader_hears = true;
#ifndef MUTANT_DEATH_WAKES_NOBODY
     Interrupt(reader_bell, reader_interrupted)
#endif
  :: reader_killed && reader_ended ->
     writer_hears = true;
     Interrupt(writer_bell, writer_interrupted)
  fi
}

init { atomic { run writer(); run reader() } }
