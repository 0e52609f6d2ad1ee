// SPDX-License-Identifier: Apache-2.0
#include "rpc/standard/stats.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/limits.h"
#include "base/quota.h"
#include "nearcall/internal/coroutine.h"
#include "nearcall/internal/unary.h"
#include "rpc/server/latency_buckets.h"
#include "session/server_session.h"

namespace nearcall::rpc {

namespace {

using internal::MakeMethod;
using internal::MethodKind;

constexpr size_t kUsualConnections = 1000;

// Of calls: a response is some kilobytes.
constexpr size_t kMostTracedAtOnce = 64;

// What calls are of whose method the server does not have.
constexpr char kOther[] = "_OTHER";

// Whom its own user and root are one with tells all; any other user is told of itself.
bool MaySeeAll(uid_t user) {
  return user == 0 || user == ::geteuid();
}

int64_t Ns(const timeval& time) {
  return (int64_t{time.tv_sec} * 1'000'000 + time.tv_usec) * 1000;
}

void Put(const std::array<size_t, base::kLanes>& waiting, wire::stats::Lanes& lanes) {
  lanes.set_low(waiting[0]);
  lanes.set_normal(waiting[1]);
  lanes.set_high(waiting[2]);
  lanes.set_urgent(waiting[3]);
}

void Put(const CallCounts::Totals& totals, wire::stats::Histogram& latency) {
  latency.set_sum_ns(totals.ns);
  for (size_t i = 0; i < totals.latencies.size(); ++i) {
    if (totals.latencies[i] == 0) continue;
    wire::stats::Bucket& bucket = *latency.add_buckets();
    bucket.set_from_ns(LatencyBuckets::From(i));
    bucket.set_below_ns(LatencyBuckets::From(i + 1));
    bucket.set_count(totals.latencies[i]);
  }
}

void Put(std::string name, const CallCounts& counts, Stats::Response& response) {
  const CallCounts::Totals totals = counts.Read();
  if (totals.begun == 0) return;
  wire::stats::Method& method = *response.add_methods();
  method.set_name(std::move(name));
  method.set_begun(totals.begun);
  method.set_refused(totals.refused);
  method.set_bytes_received(totals.bytes_received);
  method.set_bytes_sent(totals.bytes_sent);
  method.set_elements_received(totals.elements_received);
  method.set_elements_sent(totals.elements_sent);
  for (size_t code = 0; code < totals.ended.size(); ++code) {
    if (totals.ended[code] == 0) continue;
    wire::stats::Ended& ended = *method.add_ended();
    ended.set_code(static_cast<int32_t>(code));
    ended.set_count(totals.ended[code]);
  }
  Put(totals, *method.mutable_latency());
}

void Put(const base::Account& account, wire::stats::User& user) {
  const auto put = [](uint64_t taken, uint64_t limit, wire::stats::Taken& to) {
    to.set_taken(taken);
    to.set_limit(limit);
  };
  user.set_name(account.name);
  put(account.memory.taken().count(), account.memory.limit().count(), *user.mutable_calls());
  put(account.memory.taken().bytes(), account.memory.limit().bytes(), *user.mutable_bytes());
  put(account.places.taken().count(), account.places.limit().count(), *user.mutable_handlers());
  put(account.descriptors.taken().count(), account.descriptors.limit().count(), *user.mutable_descriptors());
}

// It has ended just now, or a moment ago.
void Put(const Tracers::Kept& kept, wire::stats::Call& call) {
  const int64_t age_ns = base::NowNs() - kept.call.arrived;
  call.set_method(kept.method.empty() ? kOther : kept.method);
  call.set_start_time_unix_ns(absl::ToUnixNanos(absl::Now()) - age_ns);
  call.set_duration_ns(kept.call.end.ns);
  call.set_code(static_cast<int32_t>(kept.call.end.code));
  call.set_refused(kept.call.end.refused);
  call.set_connection(kept.call.connection);
  call.set_pid(kept.pid);
  call.set_uid(kept.uid);
  call.set_transport(std::string(kept.call.transport));
  call.set_bytes_received(kept.call.bytes_received);
  call.set_bytes_sent(kept.call.end.bytes_sent);
  call.set_elements_received(kept.call.elements_received);
  call.set_elements_sent(kept.call.elements_sent);
}

// False: nothing has ended.
bool PutNext(Tracers::Tracer& tracer, Stats::TraceResponse& response) {
  const Tracers::Taken taken = tracer.Take(kMostTracedAtOnce);
  response.Clear();
  response.set_dropped(taken.dropped);
  for (const Tracers::Kept& kept : taken.calls) Put(kept, *response.add_calls());
  return taken.dropped != 0 || !taken.calls.empty();
}

struct TraceParts {
  explicit TraceParts(internal::ServerCall& call) : stream(call.stream()), writer(stream) {}
  bool Parse(internal::ServerCall& call) { return call.ParseRequest(request); }
  Task<absl::Status> Begin(Service& service, ServerContext& context) {
    return static_cast<Stats&>(service).Trace(context, request, stream, writer);
  }
  void Finish(auto& call, const absl::Status& status) { call.FinishStream(status); }

  Stats::TraceRequest request;
  internal::ServerStream& stream;
  CoServerWriter<Stats::TraceResponse> writer;
};

// How busy a connection is.
struct Row {
  std::shared_ptr<session::ServerSession> session;
  size_t calls;
  size_t held_back;

  bool operator<(const Row& other) const {
    return std::tuple(other.calls, other.held_back, session->id()) < std::tuple(calls, held_back, other.session->id());
  }
};

void Put(const Row& row, wire::stats::Connection& connection) {
  session::ServerSession& session = *row.session;
  connection.set_id(session.id());
  connection.set_pid(session.client().peer().pid);
  connection.set_uid(session.client().peer().uid);
  connection.set_transport(std::string(session.transport().name()));
  connection.set_calls(row.calls);
  connection.set_streams(session.calls().streams());
  connection.set_frames_sent(session.outbox().frames_sent());
  connection.set_bytes_held_back(row.held_back);
  Put(session.outbox().WaitingByLane(), *connection.mutable_waiting());
}

}  // namespace

absl::Status Stats::Get(ServerContext& context, const Request& request, Response& response) {
  const uid_t user = context.peer().uid;
  Sessions sessions = AllSessions();
  PutServer(sessions.size(), *response.mutable_server());
  PutMethods(response);
  if (MaySeeAll(user)) {
    core_.quota->ForEachAccount([&](const base::Account& account) { Put(account, *response.add_users()); });
  } else {
    std::erase_if(sessions, [user](const auto& session) { return session->client().peer().uid != user; });
    Put(*core_.quota->AccountOf(user), *response.add_users());
  }
  const size_t most = request.max_connections() == 0 ? kUsualConnections : request.max_connections();
  PutConnections(std::move(sessions), most, response);
  return absl::OkStatus();
}

Task<absl::Status> Stats::Trace(ServerContext& context, const TraceRequest& request, internal::ServerStream& stream,
                                CoServerWriter<TraceResponse>& writer) {
  if (request.method().size() > base::kMaxMethodNameSize) {
    co_return absl::InvalidArgumentError(
        absl::StrCat("the method's name has ", request.method().size(), " B, allowed are ", base::kMaxMethodNameSize));
  }
  const uid_t user = context.peer().uid;
  Tracers::Wanted wanted = {.method = request.method(), .user = {}};
  if (!MaySeeAll(user)) wanted.user = user;
  Tracers::Tracer tracer(core_.tracers, std::move(wanted), user, core_.quota->AccountOf(user), stream);
  if (!tracer.admitted().ok()) co_return tracer.admitted();
  internal::CallSide waiting;
  TraceResponse response;  // the first one is empty
  bool goes_on = co_await writer.Write(response);
  while (goes_on) {
    const bool has_more = PutNext(tracer, response);
    if (has_more) goes_on = co_await writer.Write(response);
    if (!has_more) goes_on = co_await internal::NewsAwaiter(stream, waiting);
  }
  co_return absl::OkStatus();
}

Stats::Sessions Stats::AllSessions() const {
  Sessions all;
  for (const auto& poller : pollers_) {
    Sessions its = poller->mailbox().Sessions();
    all.insert(all.end(), std::make_move_iterator(its.begin()), std::make_move_iterator(its.end()));
  }
  return all;
}

void Stats::PutServer(size_t connections, wire::stats::Server& server) const {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const int64_t uptime_ns = base::NowNs() - since_;
  server.set_pid(::getpid());
  server.set_start_time_unix_ns(absl::ToUnixNanos(absl::Now()) - uptime_ns);
  server.set_uptime_ns(uptime_ns);
  server.set_cpu_user_ns(Ns(usage.ru_utime));
  server.set_cpu_system_ns(Ns(usage.ru_stime));
  server.set_draining(core_.draining.load(std::memory_order_relaxed));
  server.set_threads(core_.threads.threads());
  server.set_handlers_running(core_.slots.taken());
  server.set_max_handlers(core_.options.max_handler_threads);
  server.set_calls_active(core_.active_calls.load(std::memory_order_relaxed));
  server.set_connections(connections);
  std::array<size_t, base::kLanes> waiting{};
  for (const auto& poller : pollers_) {
    for (size_t lane = 0; lane < base::kLanes; ++lane) waiting[lane] += poller->waiting(lane);
  }
  Put(waiting, *server.mutable_waiting());
  server.set_calls_started(core_.calls_started.load(std::memory_order_relaxed));
  server.set_calls_refused(core_.calls_refused.load(std::memory_order_relaxed));
  server.set_one_way_failed(core_.one_way_failed.load(std::memory_order_relaxed));
  server.set_violations(core_.violations.load(std::memory_order_relaxed));
}

void Stats::PutMethods(Response& response) const {
  core_.services.ForEachMethod(
      [&response](const ServiceTable::Method& method) { Put(method.method->info.full_name, method.counts, response); });
  if (core_.services.generic() != nullptr) Put("*", core_.services.generic()->counts, response);
  Put(kOther, core_.services.CountsOf(nullptr), response);
  std::sort(response.mutable_methods()->begin(), response.mutable_methods()->end(),
            [](const auto& a, const auto& b) { return a.name() < b.name(); });
}

void Stats::PutConnections(Sessions sessions, size_t most, Response& response) const {
  std::vector<Row> rows;
  for (std::shared_ptr<session::ServerSession>& session : sessions) {
    const size_t calls = session->calls().count();
    const size_t held_back = session->outbox().held().kept();
    rows.push_back({std::move(session), calls, held_back});
  }
  const auto end = rows.begin() + static_cast<std::ptrdiff_t>(std::min(most, rows.size()));
  std::partial_sort(rows.begin(), end, rows.end());
  for (auto row = rows.begin(); row != end; ++row) Put(*row, *response.add_connections());
}

const internal::ServiceInfo& Stats::GetServiceInfo() const {
  // It is not the leader who looks at a thousand connections.
  static constexpr bool kMayBlock = true;
  static constexpr internal::ServerMethod kMethods[] = {
      {MakeMethod("nearcall.stats.v1.Stats/Get", MethodKind::kUnary, Priority::kNormal, 0, kMayBlock),
       &internal::RunUnary<Stats, Request, Response, &Stats::Get>},
      {MakeMethod("nearcall.stats.v1.Stats/Trace", MethodKind::kServerStreaming, Priority::kNormal, 0, false),
       &internal::CoHandler<TraceParts>::Run, /*suspends=*/true}};
  static constexpr internal::ServiceInfo kInfo = {"nearcall.stats.v1.Stats", kMethods};
  return kInfo;
}

}  // namespace nearcall::rpc
