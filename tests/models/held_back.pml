/* SPDX-License-Identifier: Apache-2.0 */
/* A connection whose client does not read its replies: what is held back goes when there is room, and the client's next
   request is read when little enough is left.

   The code: Intake::Harvest, GoesCold, ArmAll; ReadConnection::PumpHeldBack, may_be_read; Resumptions::LookAt;
   ServerSession::WantALook, NeedsALook; Outbox::TryOffer, Keep, Pump, RoomWanted; message_writer.cc.

   The processes: two `worker`s each write a reply of PIECES frames to one lane: themselves while there is room, then all
   that is left is kept. `poller` is the leader, for this one connection. `client` reads frames and sends one request, in any
   order, and rings when the poller has asked for it; its watchdog is left out. What is done under the outbox's lock, or
   the poller's, is one step here.

   It must hold: the client gets all frames, and its request is read (no invalid end state); no frame stands between two
   of another reply.

   Mutants: see #ifdef. */
#define PIECES 2
#define CAPACITY 3 /* of the ring, in frames */
#define PAUSE 1    /* kHeldBackPause */
#define NOBODY 2

/* The ring of replies, and the outbox: which reply is in the middle of being sent, and how much of each is kept. */
byte ring;
byte partial = NOBODY, kept[2];

bool request, request_read;

/* What the poller has asked the client to ring for. */
bool armed_for_frames, armed_for_room, bell;

bool mail, asleep, wake, wants_a_look;
bool hot = true;

#define has_waiting (kept[0] + kept[1] > 0)
#define may_read (kept[0] + kept[1] <= PAUSE)
#define Eligible(reply) (kept[reply] > 0 && (partial == NOBODY || partial == reply))
#define room_wanted (Eligible(0) || Eligible(1))
#define has_room (ring < CAPACITY)

inline SendFrame(reply, left) {
  ring++;
  assert(partial == NOBODY || partial == reply);
  if :: left > 0 -> partial = reply :: else -> partial = NOBODY fi
}

inline Pump() {
  do
  :: has_room && Eligible(0) -> kept[0]--; SendFrame(0, kept[0])
  :: has_room && !Eligible(0) && Eligible(1) -> kept[1]--; SendFrame(1, kept[1])
  :: !has_room || !room_wanted -> break
  od;
  skip /* a d_step must not end with a loop */
}

proctype worker(byte reply) {
  byte left = PIECES;
  bool keeps, wanted, wakes;
  do
  :: left == 0 || keeps -> break
  :: else ->
     d_step { /* LargeReply::Take */
       if
       :: !has_waiting && has_room && (partial == NOBODY || partial == reply) -> left--; SendFrame(reply, left)
       :: else -> keeps = true
       fi
     }
  od;
  if
  :: keeps -> /* LargeReply::Finish */
     d_step {
       kept[reply] = left;
       if :: left < PIECES -> partial = reply :: else fi;
       Pump()
     }
  :: else
  fi;
  /* LookAgainAt */
#ifndef MUTANT_GONE_IN_SILENCE /* as it was: a look is needed if something waits, and only then */
  d_step { wanted = wants_a_look; wants_a_look = false };
#endif
#ifndef MUTANT_NO_LOOK_AFTER_A_REPLY
  wanted = wanted || has_waiting;
#endif
  if
  :: wanted ->
     d_step { mail = true; wakes = asleep };
     d_step { wake = wake || wakes }
  :: else
  fi
}

active proctype poller() {
  bool frames, room;
  do
  :: /* ReadMail, Warm */
     d_step {
       if
       :: mail && !hot -> hot = true; armed_for_frames = false; armed_for_room = false
       :: else
       fi;
       mail = false
     };
     /* Harvest, or a look while spinning */
     if :: hot && has_waiting -> d_step { Pump() } :: else fi;
     if :: hot && may_read && request -> d_step { request = false; request_read = true } :: else fi;
     /* GoToSleep */
     if
     :: hot ->
        room = room_wanted;
        frames = may_read;
#ifdef MUTANT_ROOM_IS_NOT_ASKED_FOR
        if :: frames -> room = false :: else fi;
#endif
        if
        :: !frames && !room ->
           wants_a_look = true;
#ifndef MUTANT_NO_LOOK_AFTER_WANTING_ONE
           if :: room_wanted || may_read -> goto again :: else fi
#endif
        :: else -> /* Arm */
           d_step { armed_for_frames = frames; armed_for_room = room };
           if
           :: (frames && request) || (room && has_room) ->
              d_step { armed_for_frames = false; armed_for_room = false };
              goto again
           :: else -> hot = false
           fi
        fi
     :: else
     fi;
     atomic { if :: mail -> goto again :: else -> asleep = true fi };
end:
     d_step {
       wake || bell;
       if :: bell -> mail = true :: else fi;
       wake = false;
       bell = false;
       asleep = false
     };
again:
     skip
  od
}

active proctype client() {
  byte got;
  bool asks = true;
  do
  :: ring > 0 ->
     d_step { ring--; got++ };
     d_step { if :: armed_for_room -> bell = true :: else fi }
  :: asks ->
     d_step { request = true; asks = false };
     d_step { if :: armed_for_frames -> bell = true :: else fi }
  :: got == 2 * PIECES && !asks && request_read -> break
  od
}

init { atomic { run worker(0); run worker(1) } }
