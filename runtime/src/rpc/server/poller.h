// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mutex.h"
#include "base/spin_policy.h"
#include "rpc/server/dispatch_queue.h"
#include "rpc/server/server_core.h"
#include "session/server_session.h"

namespace nearcall::rpc {

// Reads the requests of many connections and runs their handlers, on the thread that reads.
//
// At any moment one thread leads. It looks at the hot connections (those with traffic a moment ago), takes what is
// there, runs the best request inline, and looks again; when there is nothing it spins a little, then asks every
// connection to ring, and sleeps in epoll. A second thread stands by in the same epoll; the kernel wakes the one that
// fell asleep last. A thread that is woken while the leader sleeps takes the lead; one that is woken while the leader
// is in a handler waits until that handler has run for kStuckHandlerNs, and then takes the lead, too. The old leader
// finds that out when its handler returns, and stands by or leaves. All that was read belongs to the poller, not to the
// thread.
//
// Thread-safe where nothing else is said.
class Poller final : public Places {
 public:
  explicit Poller(ServerCore& core) : core_(core), spin_(MaxSpinNs(core.options)) {}
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;
  ~Poller();

  absl::Status Start();

  // Ends all connections' service; threads leave as soon as their handlers return (ServerCore::threads is joined by the
  // server).
  void Stop();
  // After its threads have left: gives everything up.
  void Clear();

  void Add(const std::shared_ptr<session::ServerSession>& session);
  // The session has ended. Harmless for one that is not there.
  void Remove(uint32_t connection_id);

  // As if its client had rung.
  void LookAt(uint32_t connection_id);

  // A handler has ended: if calls wait for its place, the leader is woken.
  void OnSlotGiven();

  std::vector<std::shared_ptr<session::ServerSession>> Sessions();
  size_t connection_count();
  std::string DebugString();

 private:
  using ThreadId = uint64_t;  // 0: none

  enum class State {
    kWorking,    // the leader reads, queues, looks
    kInHandler,  // the leader runs a handler
    kAsleep,     // the leader waits in epoll
  };

  struct Connection {
    std::shared_ptr<session::ServerSession> session;
    ClientQueue queue;
    bool hot = false;
    uint32_t quiet_turns = 0;
  };

  struct Mail {
    std::vector<std::shared_ptr<session::ServerSession>> added;
    std::vector<uint32_t> rung;
    std::vector<uint32_t> removed;
    std::vector<ServerCallImpl*> returning;  // whose handlers wait for their places
  };

  enum class Ran { kNothing, kCall, kLostTheLead };

  static int64_t MaxSpinNs(const ServerOptions& options);

  // --- any serving thread (poller_threads.cc) ---
  void Serve();
  void ServeAs(ThreadId me);
  void Leave(ThreadId me);
  void ReplaceThisThread();
  void StartThread();
  bool SomebodyStandsBy() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WaitForEvents(ThreadId me) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeEvents(const epoll_event* events, int count) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DecideWhoLeads(ThreadId me) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeTheLead(ThreadId me) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LookAgainAt(session::ServerSession& session);
  absl::Status WatchConnection(session::ServerSession& session);
  void WatchUntilNews(session::ServerSession& session, uint32_t interest);
  void Wake();
  bool TakeAgain(ServerCallImpl& call) override;
  bool MailNeedsWake() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // --- the leader (poller_work.cc) ---
  void Work(ThreadId me);
  void ReadMail();
  void Warm(Connection& connection);
  void Drop(uint32_t connection_id);
  void QueueAgain(ServerCallImpl& call);
  bool Harvest();
  bool PumpHeldBack(Connection& connection);
  bool ReadFrom(Connection& connection);
  bool ReadFrame(Connection& connection);
  absl::Status WhyRefused(const Connection& connection, ServerCallImpl& call, session::Inbox::Event event) const;
  void AcceptCall(Connection& connection, std::unique_ptr<ServerCallImpl> call, session::Inbox::Event event);
  bool MayRead(Connection& connection) const;
  static bool LeavesRepliesLying(const Connection& connection);
  void HoldIfItDoesNotRead(Connection& connection);
  bool GoesCold(Connection& connection);
  Ran RunNext(ThreadId me);
  void RefuseStream(std::unique_ptr<ServerCallImpl> call, const absl::Status& status);
  Ran RunInline(ThreadId me, std::unique_ptr<ServerCallImpl> call, base::SteadyNs now);
  bool HandlerEnded(ThreadId me, std::unique_ptr<ServerCallImpl> call);
  void RunOnWorker(std::unique_ptr<ServerCallImpl> call);
  void WorkerEnded(std::unique_ptr<ServerCallImpl> call);
  bool SomethingToDo();
  bool LookForAWhile();
  bool GoToSleep();
  std::unique_ptr<ServerCallImpl> NewCall();
  void Recycle(std::unique_ptr<ServerCallImpl> call);

  ServerCore& core_;
  base::Fd epoll_;
  base::Fd wake_;
  std::atomic<bool> mail_waits_{false};
  std::atomic<bool> wants_slot_{false};
  std::atomic<bool> stopping_{false};

  // The leader's. They change hands with the lead, under the mutex.
  std::unordered_map<uint32_t, std::unique_ptr<Connection>> connections_;
  std::vector<Connection*> hot_;
  DispatchQueue queue_;
  static constexpr size_t kMaxFreeCalls = 64;
  std::vector<std::unique_ptr<ServerCallImpl>> free_calls_;  // with room for so many
  base::SpinPolicy spin_;
  int calls_since_harvest_ = 0;

  base::Mutex mutex_;
  ThreadId leader_ ABSL_GUARDED_BY(mutex_) = 0;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kWorking;
  base::SteadyNs handler_since_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t handler_turn_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t last_thread_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t serving_ ABSL_GUARDED_BY(mutex_) = 0;  // threads in Serve()
  size_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;  // of these, in epoll
  uint64_t lead_changes_ ABSL_GUARDED_BY(mutex_) = 0;
  Mail mail_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<uint32_t, std::shared_ptr<session::ServerSession>> sessions_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nearcall::rpc
