/* SPDX-License-Identifier: Apache-2.0 */
/* The handshake of transport shm, the order in which memory is made, sealed, passed and mapped, and how a connection that
   has ended leaves the server again.

   The code: ShmOffer::Create, CreateServerRegion, CreateClientRegion, Accept; AttachShm, VerifyOffer (shm_offer.cc);
   CreateSharedMemory, SealAgainstWriters, VerifySealedAgainstWriters, Populate, VerifySharedMemory (shared_memory.cc);
   server_handshake.cc; ClientHandshake::Run (connect.cc); ServerImpl::OnConnection; ServerSession::Start, End;
   Poller::Add, Remove, Drop.

   The processes: `server` and `client`, each of which may be killed between any two steps, and either of which may be
   hostile (HOSTILE_CLIENT, HOSTILE_SERVER) and do with the descriptors it has what the kernel permits, at any time.
   `monitor` tells the server's session of the client's end, `poller` reads its mail.

   Memory is two regions: S, which the server writes and seals, and C, which the client writes and seals. Adding a seal,
   and filling holes by fallocate, waits for the lock of the file, which whoever holds the descriptor can keep; looking at
   the seals does not, nor does filling holes by populating a mapping.

   It must hold: no side ever touches a hole; nobody but its writer can write S, and nobody can map C for writing once the
   server serves; the server never waits for the lock of C once it has passed it; honest sides who live agree; a
   connection that has ended is nobody's in the end; nobody waits for ever (no invalid end state).

   Mutants: see #ifdef.
   Run: -DHONEST
   Run: -DHOSTILE_CLIENT
   Run: -DHOSTILE_SERVER */
mtype = { HELLO, OFFER, ACK, NACK };
chan to_server = [2] of { mtype };
chan to_client = [2] of { mtype };
bool server_gone, client_gone; /* and its socket with it */
bool server_killed, client_killed;

typedef Region {
  bool future_write;  /* F_SEAL_FUTURE_WRITE: no new writable mapping, no hole */
  bool seal;          /* F_SEAL_SEAL: no further seal */
  bool hole;
  bool client_writes; /* the client has a writable mapping */
}
Region s, c;
bool server_writes_s, passed, serves;

/* The server's: what the monitor has told, and where the session is known. */
bool session_started, session_gone, added, removed;
bool mail_added, mail_removed;

/* By the server: it takes the lock of C's file. */
inline TakeLockOfC() { assert(!passed) }

/* fcntl(F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL), and how it went. */
inline SealAgainstWriters(region, went_well) {
  d_step {
    went_well = !region.seal;
    if :: went_well -> region.future_write = true; region.seal = true :: else fi
  }
}

inline HonestServer() {
  server_writes_s = !s.future_write;
#ifndef MUTANT_S_IS_SEALED_AFTER_PASSING
  SealAgainstWriters(s, ok);
#endif
  if
  :: to_server?HELLO
  :: to_server?ACK -> goto server_ends
  :: empty(to_server) && client_gone -> goto server_ends
  fi;
#ifdef MUTANT_C_IS_SEALED_BEFORE_PASSING
  TakeLockOfC();
  SealAgainstWriters(c, ok);
#endif
  to_client!OFFER;
  passed = true;
#ifdef MUTANT_S_IS_SEALED_AFTER_PASSING
  SealAgainstWriters(s, ok);
#endif
  if
  :: to_server?ACK
  :: to_server?NACK -> goto server_ends
  :: to_server?HELLO -> goto server_ends
  :: empty(to_server) && client_gone -> goto server_ends
  fi;
#ifdef MUTANT_C_IS_POPULATED_BEFORE_THE_LOOK
  c.hole = false;
#endif
#ifdef MUTANT_THE_SERVER_SEALS_C
  TakeLockOfC();
  SealAgainstWriters(c, ok);
#endif
  ok = c.future_write && c.seal; /* VerifySealedAgainstWriters */
#ifdef HONEST
  assert(ok);
#endif
#ifndef MUTANT_C_IS_NOT_LOOKED_AT
  if :: !ok -> goto server_ends :: else fi;
#endif
#ifndef MUTANT_C_IS_POPULATED_BEFORE_THE_LOOK
#ifndef MUTANT_C_IS_NOT_POPULATED
  c.hole = false;
#endif
#endif
  /* OnConnection: the session is watched, and then known to the poller. */
  session_started = true;
  d_step { added = true; mail_added = true };
#ifndef MUTANT_NO_LOOK_AFTER_ADD
  d_step { if :: session_gone -> mail_removed = true :: else fi };
#endif
  serves = true;
  /* It reads C and writes S while the connection lives. */
  do
  :: touches < 2 -> touches++; assert(!c.hole && !s.hole && server_writes_s && !s.client_writes)
  :: removed -> break
  od;
server_ends:
  skip
}

/* AttachShm, with an ack after it. */
inline HonestClient() {
  to_server!HELLO;
  if
  :: to_client?OFFER
  :: empty(to_client) && server_gone -> goto client_ends
  fi;
  ok = true;
#ifndef MUTANT_OFFER_IS_NOT_VERIFIED
  ok = s.future_write;
#endif
#ifdef MUTANT_ACK_BEFORE_MAPPING
  to_server!ACK;
#endif
  d_step { if :: ok && c.future_write -> ok = false :: ok && !c.future_write -> c.client_writes = true :: else fi };
#ifdef MUTANT_CLIENT_POPULATES_BEFORE_ITS_SEAL
  c.hole = false;
#endif
#ifndef MUTANT_CLIENT_DOES_NOT_SEAL
  if :: ok -> SealAgainstWriters(c, ok) :: else fi;
#endif
#ifdef HONEST
  assert(ok);
#endif
  if
  :: ok ->
#ifndef MUTANT_CLIENT_DOES_NOT_POPULATE
     s.hole = false;
#ifndef MUTANT_CLIENT_POPULATES_BEFORE_ITS_SEAL
     c.hole = false;
#endif
#endif
#ifndef MUTANT_ACK_BEFORE_MAPPING
     to_server!ACK;
#endif
     do
     :: touches < 2 -> touches++; assert(!s.hole && !c.hole && !s.client_writes)
     :: true -> break
     od
  :: else -> to_server!NACK
  fi;
client_ends:
  skip
}

inline HostileClient() {
  do
  :: to_server!HELLO
  :: to_server!ACK
  :: to_client?OFFER
  :: passed -> d_step { if :: !c.future_write -> c.client_writes = true; assert(!serves) :: else fi }
  :: passed -> d_step { if :: !c.future_write -> c.hole = true :: else fi }
  :: passed -> d_step { if :: !s.future_write -> s.hole = true :: else fi }
  :: passed -> d_step { if :: !s.future_write -> s.client_writes = true :: else fi }
  :: passed -> d_step { if :: !c.seal -> c.seal = true :: else fi }
  :: passed -> d_step { if :: !c.seal -> c.future_write = true :: else fi }
  :: passed -> d_step { if :: !s.seal -> s.seal = true :: else fi }
  :: server_gone -> break
  :: true -> break
  od
}

inline HostileServer() {
  do
  :: to_server?HELLO
  :: to_server?ACK -> serves = true
  :: to_server?NACK
  :: to_client!OFFER
  :: SealAgainstWriters(s, ok)
  :: SealAgainstWriters(c, ok)
  :: d_step { if :: !s.future_write -> s.hole = true :: else fi }
  :: d_step { if :: !c.future_write -> c.hole = true :: else fi }
  :: client_gone -> break
  :: true -> break
  od
}

active proctype server() {
  bool ok;
  byte touches;
  {
#ifdef HOSTILE_SERVER
    HostileServer()
#else
    HonestServer()
#endif
  } unless { server_killed };
  server_gone = true
}

active proctype client() {
  bool ok;
  byte touches;
  {
#ifdef HOSTILE_CLIENT
    HostileClient()
#else
    HonestClient()
#endif
  } unless { client_killed };
  client_gone = true
}

active proctype killer() {
  if
  :: server_killed = true
  :: client_killed = true
  :: skip
  fi
}

/* The server's: OnPeerGone, End, on_gone, Poller::Remove. */
active proctype monitor() {
  if
  :: session_started && client_gone ->
     session_gone = true;
     d_step { if :: added -> mail_removed = true :: else fi }
  :: server_gone
  fi
}

/* ReadMail: what is new first. */
active proctype poller() {
  bool known;
  do
  :: mail_added -> d_step { mail_added = false; known = true }
  :: mail_removed && !mail_added -> d_step { mail_removed = false; if :: known -> removed = true; known = false :: else fi }
  :: removed || server_gone -> break
  od
}
