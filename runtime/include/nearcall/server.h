// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nearcall/channel.h"
#include "nearcall/export.h"
#include "nearcall/log.h"
#include "nearcall/priority.h"
#include "nearcall/server_context.h"
#include "nearcall/service.h"

namespace nearcall {

class CoGenericService;
class EventQueue;
class GenericService;
class ServerInterceptor;

// Every member has a default; name any subset: `{.max_handler_threads = 8}`.
struct ServerOptions {
  // The largest request or reply, in bytes as serialised. A larger one ends its call with RESOURCE_EXHAUSTED.
  size_t max_message_size = size_t{64} << 20;

  // Calls of one connection that have not been answered, those that their callers gave up included: the client waits
  // with further ones, or, if they are to fail fast, they end with RESOURCE_EXHAUSTED. 1 to 65536.
  size_t max_queued_calls = 1024;

  // Bytes of the requests of one connection that wait for a handler. Beyond them no further request of it is read.
  size_t max_queued_bytes = size_t{8} << 20;

  // Handlers that may run at once. One is kept for Priority::kUrgent (if there is more than one).
  size_t max_handler_threads = 256;

  // Clients of which users are served. Empty: the server's effective user and root. Others: PERMISSION_DENIED, unless
  // they are of one of `allowed_gids`.
  std::vector<uid_t> allowed_uids = {};

  size_t max_connections_per_uid = 1024;

  // Among how many clients at a time a transport divides what the kernel allows one user (mq: RLIMIT_MSGQUEUE). More
  // clients get smaller queues each; who finds nothing left gets RESOURCE_EXHAUSTED.
  size_t expected_clients = 16;

  // A client that has connected but not finished the handshake after so long is hung up on. (Silent ones that keep
  // others out go sooner, first those of the user who has the most of them.)
  absl::Duration handshake_timeout = absl::Seconds(5);

  // A client's priority above this one is lowered to it.
  Priority max_priority = Priority::kUrgent;

  // The longest time that the server spins for the next request before it sleeps; the runtime adapts below it.
  // Zero: never spins.
  absl::Duration max_spin = absl::Microseconds(50);

  // true: the first SIGINT or SIGTERM is a Shutdown with `signal_grace`, a second one a Shutdown without. They are
  // caught until the server is destroyed. At most one server of a process. (The threads of the runtime block all
  // signals that come from outside: some thread of the program must not.)
  bool handle_signals = false;
  absl::Duration signal_grace = absl::Seconds(5);

  LogSink log_sink = {};

  // The stack of each thread that runs handlers, in bytes, 64 KiB to 1 GiB. Zero: what the process gives any thread
  // (RLIMIT_STACK), at most 8 MiB. What is not used costs nothing, unless the program calls mlockall(2): then each such
  // thread takes all of it, and RLIMIT_MEMLOCK bounds their number.
  size_t handler_stack_size = 0;

  // The end of a server waits for handlers that do not return and for asynchronous ones whose Done is neither called
  // nor destroyed, however long that takes: what they use is the program's. The log says which, a second after the
  // grace and then less and less often. If they have not ended so long after the grace, the process ends by abort(3),
  // and the log says why. Infinite: never.
  absl::Duration abort_after_grace = absl::InfiniteDuration();

  // true: clients of other users (allowed_uids, allowed_gids) may use transports over which a client can block a thread
  // of the server for as long as it likes: pipe, where the kernel holds the pipe's lock while it reads or writes memory
  // of the client, and that can be of a file system that never answers; and sysv, which has such pipes, and takes of
  // the queues that all programs of the machine share. false: they are offered to the server's own user and root only;
  // others get the best of the remaining ones (shm), and PERMISSION_DENIED if they ask for such a one by name.
  bool blockable_transports_for_other_users = false;

  // All calls of all clients that have been read and have not ended (those with deferred answers too), and all bytes
  // that are held for clients: requests from their first byte until they are answered, 1 KiB more for each call, and
  // replies that clients have no room for. Half of each total, and of max_handler_threads, is kept in equal shares for
  // the users of allowed_uids, whatever the others do; the rest is first come. The server's own user and root count as
  // one, so the default list keeps nothing back from them. All who are served for a group only (allowed_gids) count as
  // one user, too: who is to have a share of his own is listed by his uid. Calls over a user's part end with
  // RESOURCE_EXHAUSTED; handlers over it wait. max_total_bytes of zero: 1 GiB, or 16 times max_message_size if that is
  // more.
  size_t max_total_calls = size_t{1} << 18;
  size_t max_total_bytes = 0;

  // Descriptors of all connections, divided in the same way; a connection counts as four, or as five if messages may
  // bring descriptors, and these as what they are. A client over it is refused
  // with RESOURCE_EXHAUSTED. Zero: the soft RLIMIT_NOFILE, as it is when the server starts, less an eighth of it (at
  // least 32) for the program.
  size_t max_total_descriptors = 0;

  // How far a client may be ahead of what a handler has read of a stream, in bytes; each element counts 32 more than
  // its own. 1 to 1 GiB. So much is set aside for each stream, of max_total_bytes too.
  size_t stream_window_bytes = size_t{64} << 10;

  // What all open streams of one connection may set aside. One more ends with RESOURCE_EXHAUSTED.
  size_t max_stream_bytes = size_t{64} << 20;

  // Handlers of methods that stream, of all clients. Each has a thread, for it may wait for its client (and does not
  // count as one of max_handler_threads meanwhile). One more ends with RESOURCE_EXHAUSTED. Those that are coroutines
  // have no threads, and do not count.
  size_t max_waiting_handlers = 1024;

  // Clients of which groups are served, whoever their user is: the group of the process, and its supplementary ones
  // (PeerIdentity::groups), as the kernel says. Beside those of allowed_uids.
  std::vector<gid_t> allowed_gids = {};

  // The socket of each name that the server makes: who may connect at all, before anybody is asked who he is. Mode:
  // 0600 to 0777. Unset: 0660 if there is a group; else 0600 for a name, 0666 for an absolute path. (Others than the
  // server's user also need a directory that they may search: that of names is usually 0700.) Group: the server runs as
  // root, or is a member; unset: the kernel's choice. As SocketMode= and SocketGroup= of systemd.socket(5). A socket
  // that was inherited is left as it is. FIFOs (fifo:) are the server's own user's alone: INVALID_ARGUMENT for more.
  std::optional<mode_t> socket_mode = {};
  std::optional<gid_t> socket_group = {};

  // Asked before each call, of whatever kind, whether this client may call this method ("package.Service/Method"). An
  // error ends the call with just that, ExecState::kNotStarted (with UNAVAILABLE kMaybeExecuted: a channel would take
  // it for the end of the server, and call again at once). Not asked for methods that the server does not have, and
  // calls that are over before they begin. Runs on the thread that would run the handler, and counts as a part of it:
  // it may take as long, and if it throws the call ends with UNKNOWN. Several threads at once.
  std::function<absl::Status(const PeerIdentity& peer, absl::string_view method)> authorize = {};

  // The user's own event loop in place of the server's threads (see EventQueue): clients are accepted, handlers and
  // their stop callbacks run, and lines are logged, in EventQueue::Run(). A handler that waits or takes long holds up
  // all that this queue serves, `may_block` and WillBlock() notwithstanding: what has to wait is an asynchronous
  // handler, or a coroutine. Start() refuses a service whose handlers of streams would wait for their clients, with
  // INVALID_ARGUMENT; its CoService is what to register. The queue outlives the server.
  EventQueue* event_queue = nullptr;

  // A restart without a gap. true: a server of the same user and name that starts with this option, too, takes the
  // listening sockets over instead of ending with ALREADY_EXISTS; so does this one, if such a server lives. Name and
  // backlog stay, and no client is refused: the former server accepts clients until the new one does, then gives its
  // names up. When all of them have been taken it begins its end with `successor_grace`, as Shutdown() does: what its
  // clients have begun ends there, and what they begin from then on goes to the new one. Its Wait() returns, and main()
  // with it. If the new one fails before it serves, nothing has happened.
  //
  //   auto server = nearcall::ServerBuilder({.handle_signals = true, .allow_successor = true}).Listen("echo")...
  //
  // The socket keeps its mode and group. Sockets that were inherited (fd:, systemd:) are not passed on: whoever has
  // made those keeps them open for a successor anyway. Nor are FIFOs (fifo:): ALREADY_EXISTS. Do not use it to start a
  // server twice by mistake: the second is the successor of the first.
  bool allow_successor = false;
  absl::Duration successor_grace = absl::Seconds(30);

  // gRPC's standard services, which tools and supervisors know (`nearcall ls`, `nearcall call`): grpc.health.v1.Health
  // says which services serve (Server::SetServing), grpc.reflection.v1.ServerReflection what they look like. Who may
  // call this server may call them (`allowed_uids`, `authorize`). They need no thread, and no memory while nobody
  // calls; their streams end, with UNAVAILABLE, when Shutdown begins. A service of the program's own of that name takes
  // their place.
  bool health = true;
  bool reflection = true;

  // The same for nearcall.stats.v1.Stats, of which `nearcall stat` makes its tables: by method how often it was called,
  // how its calls have ended and how long they took, by connection and by user what is under way and held; and of
  // `nearcall trace`, which shows each call when it is over. Users other than the server's own and root are told of
  // their own connections only. Counting takes no lock and no memory of a call, and a call costs no more while nobody
  // traces; false: nothing is counted, or shown.
  bool stats = true;

  // What sees every call begin and end, and may refuse it (nearcall/interceptor.h); the first is the outermost. Not
  // calls that handlers make of their clients (ServerContext::client()).
  std::vector<std::shared_ptr<ServerInterceptor>> interceptors = {};

  // How many descriptors a client may send with one message (CallOptions::descriptors), to methods that declare it
  // (`option (nearcall.descriptors) = 4`): 0 to 16. Zero: none; a client that sends one all the same loses its
  // connection. The server sends descriptors to any client, whatever stands here.
  //
  // Those that came and are not taken yet (ServerContext::TakeDescriptors()), or wait to be closed, count as
  // descriptors of the client's user (max_total_descriptors): a message over them ends its call with
  // RESOURCE_EXHAUSTED. One connection has at most 1024, and is closed if it goes on sending beyond its user's part.
  // The runtime does nothing with them but to close what nobody takes, on threads that a peer may block without harm.
  size_t max_descriptors_per_message = 0;

  // How much memory a client may pass with one message and not copy (nearcall/buffer.h), in bytes: 0 to 2 GiB. Zero:
  // none. Then attachments of clients come as copies, within max_message_size, and neither side's program notices: what
  // a server has not asked for is bytes, and nothing that its clients have made of the kernel.
  //
  // What is passed is looked at before a handler sees it: sealed for good, of the size that was announced, all there.
  // As long as it is kept it counts for the client's user (max_total_bytes); over that its call ends with
  // RESOURCE_EXHAUSTED. A connection needs one more descriptor at each end.
  size_t max_attachment_bytes = 0;

  // true: that memory may be of a client's BufferPool (nearcall/buffer_pool.h). Then only the client's word keeps it
  // from writing there while it is read here; whoever may lie about that can change what a handler has already checked.
  // Of that alone a client is trusted: memory that is not there, or goes away, is refused as ever. INVALID_ARGUMENT
  // (Start()): without max_attachment_bytes.
  bool trust_sender = false;

  // true: attachments of replies and of elements are passed to clients as memory, though this server takes none from
  // them. (It does so in any case to whom messages may bring descriptors.) A connection needs one more descriptor at
  // each end. false: they are copied.
  bool passes_attachments = false;
};

// Every member has a default.
struct ListenOptions {
  // true: this server is one of any number behind the name, none of which has it for itself. A channel is connected to
  // all of them (to 16 at most), and each call goes to the one that has the fewest of its calls: competing consumers,
  // without a broker between. A server may come or go at any time; calls that one has not begun go to another. The
  // servers are of one user (or root). A name `search` is then a directory `search.d` where else the socket would be,
  // which stays; a path's is made with mode 0700, unless it is there already (0755 lets other users in). Whoever has
  // the name for himself alone has all calls.
  bool shared = false;
};

// A running server. Made by ServerBuilder. Thread-safe.
//
// Handlers run on threads of the server, which block all signals but those that their own instructions raise, and
// SIGPROF. A child process begins with the mask of the thread that made it: a handler that starts one empties the mask
// first (posix_spawnattr_setsigmask(3)). (With ServerOptions::event_queue they run on the thread that runs the queue,
// as that is.) A handler may end its thread by pthread_exit(3); its call ends with INTERNAL. pthread_cancel(3) does not
// take effect while a thread is in a call of this interface.
class NEARCALL_EXPORT Server {
 public:
  Server() = default;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Shutdown(ZeroDuration()) and Wait(). Not called from a handler: where exit(3) does so, the server hangs up, is left
  // in memory, and the log says so. Waits for handlers and Dones (see ServerOptions::abort_after_grace), for stop
  // callbacks, and for the line that a log sink is just given. With an event queue it runs that until then, as Wait()
  // does. In EventQueue::Run() it ends its own calls, if nothing of this server's is just running and they wait for
  // nothing else that the queue would have to run; if it cannot, it is as in a handler.
  virtual ~Server() = default;

  // Serves one connected SOCK_SEQPACKET socket, such as one end of a socketpair(2) whose other end a child process
  // inherits. Takes ownership of `fd`. INVALID_ARGUMENT if it is no such socket; UNAVAILABLE after Shutdown.
  virtual absl::Status ServeFd(int fd) = 0;

  // A channel to this server without a name, for its own process: calls go the way of any other client's, so that what
  // works here works there. As every channel it is to be destroyed before the server is waited for. UNAVAILABLE after
  // Shutdown; else as Channel::Connect. Such a channel is not connected again when its connection has ended. To a
  // server with an event queue it connects with its first call (ChannelOptions::lazy).
  virtual absl::StatusOr<std::shared_ptr<Channel>> InProcessChannel(ChannelOptions options = {}) = 0;

  // Until the server has shut down: nothing of it runs any more. In a handler, and in a child of fork(2) or daemon(3)
  // that was made after Start(), it returns at once, and the log says why. With an event queue it runs that, in place
  // of whoever does else: no other thread may meanwhile, and in EventQueue::Run() it is as in a handler.
  virtual void Wait() = 0;

  // Begins the end, and does not wait for it (see Wait): gives up the names at once (a successor can start), tells the
  // clients to begin no further calls, and lets what they have begun finish for at most `grace`, until the last of them
  // has hung up; then cancels the rest, and hangs up. From any thread, a handler's too. A later one with a grace that
  // ends earlier shortens the first; else it changes nothing.
  virtual void Shutdown(absl::Duration grace = absl::ZeroDuration()) = 0;

  // Connections, lanes, calls, bytes held back, violations, one-way calls whose handlers ended with an error: for
  // people. The format may change.
  virtual std::string DebugString() const = 0;

  // What the health service says of `service` ("package.Service"; empty: of the server as a whole) from now on; nothing
  // else. Without it, that each registered service serves, and so does the whole. Of one that is not registered, too.
  virtual void SetServing(absl::string_view service, bool serving) = 0;
};

// Puts a server together:
//
//   EchoImpl echo;
//   auto server = nearcall::ServerBuilder({.handle_signals = true}).Listen("shm:echo").Register(&echo).Start();
//   if (!server.ok()) return server.status();
//   (*server)->Wait();
//
// Used by one thread. Nothing is opened before Start().
class NEARCALL_EXPORT ServerBuilder {
 public:
  explicit ServerBuilder(ServerOptions options = {});
  ServerBuilder(const ServerBuilder&) = delete;
  ServerBuilder& operator=(const ServerBuilder&) = delete;
  ~ServerBuilder();

  // An address as in Channel; a bare name means every transport. Several of one name are one socket. A server may have
  // several names. Or, for every transport:
  //
  //   systemd:          the sockets with which systemd has started this process (systemd.socket(5): they are opened by
  //                     ListenSequentialPacket=, and start it when the first client connects)
  //   systemd:greeter   only that of this FileDescriptorName=
  //
  // Each of those is served by one server of the process. With them systemd hears when the server is ready, and when
  // it stops, if it wants to (Type=notify of systemd.service(5)).
  //
  //   inherited:        the socket with which a channel to `exec:/path/of/this/program` has started this process
  //                     ($NEARCALL_FD)
  //
  // Such a server ends when it is alone: when that client, and whoever else has connected, has gone, it shuts down with
  // `signal_grace`, and Wait() returns. A handler that does not return then ends the process after 5 s more, unless
  // `abort_after_grace` says something else: nobody is left who would end it.
  //
  //   auto server = nearcall::ServerBuilder().Listen("inherited:").Register(&decoder).Start();
  //   if (!server.ok()) return Fail(server.status());
  //   (*server)->Wait();
  ServerBuilder& Listen(absl::string_view address, ListenOptions options = {});

  // A listening SOCK_SEQPACKET socket that somebody else has made. Takes ownership. Its name, if it has one, is left
  // alone.
  ServerBuilder& ListenFd(int fd);

  // `service` must outlive the server.
  ServerBuilder& Register(Service* service);

  // Serves by their names all methods that no registered service has (nearcall/generic.h). At most one, which must
  // outlive the server.
  ServerBuilder& RegisterGeneric(GenericService* service);
  ServerBuilder& RegisterGeneric(CoGenericService* service);

  // INVALID_ARGUMENT: a malformed address, an option out of range, a service registered twice, or one that an event
  // queue cannot serve. ALREADY_EXISTS: another server has the name. RESOURCE_EXHAUSTED: a limit named in the text.
  // FAILED_PRECONDITION, NOT_FOUND: systemd has passed no socket, or none of that name, or no channel has started this
  // process. Once per builder.
  absl::StatusOr<std::unique_ptr<Server>> Start();

 private:
  struct State;
  static absl::StatusOr<std::unique_ptr<Server>> StartServer(State& state);

  std::unique_ptr<State> state_;
};

}  // namespace nearcall
