// SPDX-License-Identifier: Apache-2.0
#include "stat_tables.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "printable.h"
#include "server_sockets.h"
#include "snapshot.h"
#include "units.h"

namespace nearcall::tools {

namespace {

using stats::v1::GetResponse;
using stats::v1::Method;

double Seconds(int64_t ns) {
  return std::max(static_cast<double>(ns) / 1e9, 1e-9);
}

std::string PerSecond(uint64_t count, const GetResponse& since, const Look& look) {
  return NumberText(static_cast<double>(count) / Seconds(since.server().uptime_ns()), look);
}

std::string BytesPerSecond(uint64_t count, const GetResponse& since, const Look& look) {
  return BytesText(static_cast<double>(count) / Seconds(since.server().uptime_ns()), look);
}

// Of one CPU, in percent.
std::string Cpu(const GetResponse& since) {
  const int64_t used = since.server().cpu_user_ns() + since.server().cpu_system_ns();
  return absl::StrFormat(
      "%.1f", 100 * static_cast<double>(used) / static_cast<double>(Seconds(since.server().uptime_ns()) * 1e9));
}

uint64_t Active(const Method& method) {
  return method.begun() - std::min(method.begun(), CountEnded(method));
}

std::string Latency(const stats::v1::Histogram& latency, double share, const Look& look) {
  return latency.buckets_size() == 0 ? "-" : NsText(Percentile(latency, share), look);
}

// "0", or by lanes, the lowest first: "3,0,1,0".
std::string Text(const stats::v1::Lanes& lanes) {
  if (lanes.low() + lanes.normal() + lanes.high() + lanes.urgent() == 0) return "0";
  return absl::StrCat(lanes.low(), ",", lanes.normal(), ",", lanes.high(), ",", lanes.urgent());
}

// All methods as one, but for this tool's own.
Method Sum(const GetResponse& stats) {
  Method sum;
  stats::v1::Ended& well = *sum.add_ended();
  stats::v1::Ended& ill = *sum.add_ended();
  ill.set_code(2);
  for (const Method& method : stats.methods()) {
    if (IsOwn(method)) continue;
    sum.set_begun(sum.begun() + method.begun());
    well.set_count(well.count() + CountEnded(method) - CountFailed(method));
    ill.set_count(ill.count() + CountFailed(method));
    Merge(method.latency(), *sum.mutable_latency());
  }
  return sum;
}

std::string ServerText(const std::string& address, const GetResponse& since, const GetResponse& now, const Look& look) {
  const stats::v1::Server& server = now.server();
  const Method sum = Sum(since);
  if (!look.terminal) {
    Table table("server", std::vector<Table::Column>(12));
    table.Add({address, absl::StrCat(server.pid()), absl::StrCat(server.uptime_ns()), Cpu(since),
               PerSecond(CountEnded(sum), since, look), absl::StrCat(server.calls_active()),
               absl::StrCat(server.handlers_running()), absl::StrCat(server.threads()),
               absl::StrCat(server.connections()), Text(server.waiting()), absl::StrCat(server.violations()),
               server.draining() ? "draining" : "serving"});
    return table.Text(look);
  }
  const bool whole = since.server().uptime_ns() == server.uptime_ns();
  return absl::StrCat(look.Bold(address), "  pid ", server.pid(), ", up ",
                      absl::FormatDuration(absl::Seconds(server.uptime_ns() / 1'000'000'000)),
                      server.draining() ? ", draining" : "", whole ? "; rates since its start\n" : "\n", "cpu ",
                      Cpu(since), "%, calls/s ", PerSecond(CountEnded(sum), since, look), ", active ",
                      server.calls_active(), ", handlers ", server.handlers_running(), " of ", server.max_handlers(),
                      ", waiting ", Text(server.waiting()), ", threads ", server.threads(), ", connections ",
                      server.connections(), ", violations ", server.violations(), "\n");
}

std::string MethodsText(const GetResponse& since, const GetResponse& now, const Look& look) {
  Table table("method", {{"METHOD"},
                         {"CALLS/S", true},
                         {"ACTIVE", true},
                         {"FAILED/S", true},
                         {"P50", true},
                         {"P99", true},
                         {"IN/S", true},
                         {"OUT/S", true}});
  // (Both have the same methods, in the same order.)
  for (int i = 0; i < now.methods_size() && i < since.methods_size(); ++i) {
    const Method& method = since.methods(i);
    if (IsOwn(method)) continue;
    table.Add({Printable(method.name()), PerSecond(CountEnded(method), since, look),
               absl::StrCat(Active(now.methods(i))), PerSecond(CountFailed(method), since, look),
               Latency(method.latency(), 0.5, look), Latency(method.latency(), 0.99, look),
               BytesPerSecond(method.bytes_received(), since, look), BytesPerSecond(method.bytes_sent(), since, look)});
  }
  return table.Text(look);
}

std::string ConnectionsText(const GetResponse& now, const Look& look) {
  Table table("connection", {{"CONNECTION", true},
                             {"PID", true},
                             {"USER"},
                             {"TRANSPORT"},
                             {"CALLS", true},
                             {"STREAMS", true},
                             {"HELD BACK", true},
                             {"TO SEND", true}});
  for (const stats::v1::Connection& connection : now.connections()) {
    table.Add({absl::StrCat(connection.id()), absl::StrCat(connection.pid()),
               UserName(static_cast<uid_t>(connection.uid())), Printable(connection.transport()),
               absl::StrCat(connection.calls()), absl::StrCat(connection.streams()),
               BytesText(static_cast<double>(connection.bytes_held_back()), look), Text(connection.waiting())});
  }
  return table.Text(look);
}

// "3 of 256" for people, "3/256" for programs.
std::string Text(const stats::v1::Taken& taken, const Look& look) {
  return absl::StrCat(taken.taken(), look.terminal ? " of " : "/", taken.limit());
}

std::string UsersText(const GetResponse& now, const Look& look) {
  Table table("user", {{"USER"}, {"CALLS", true}, {"BYTES", true}, {"HANDLERS", true}, {"DESCRIPTORS", true}});
  for (const stats::v1::User& user : now.users()) {
    const std::string bytes =
        absl::StrCat(BytesText(static_cast<double>(user.bytes().taken()), look), look.terminal ? " of " : "/",
                     BytesText(static_cast<double>(user.bytes().limit()), look));
    table.Add({Printable(user.name()), Text(user.calls(), look), bytes, Text(user.handlers(), look),
               Text(user.descriptors(), look)});
  }
  return table.Text(look);
}

std::vector<std::string> Fields(const StatRow& row, const Look& look) {
  if (!row.state.empty()) return {row.address, "-", "-", "-", "-", "-", "-", "-", "-", row.state};
  const GetResponse since = Since(row.before, row.now);
  const stats::v1::Server& server = row.now.server();
  const Method sum = Sum(since);
  return {row.address,
          absl::StrCat(server.pid()),
          Cpu(since),
          PerSecond(CountEnded(sum), since, look),
          absl::StrCat(server.calls_active()),
          PerSecond(CountFailed(sum), since, look),
          Latency(sum.latency(), 0.5, look),
          Latency(sum.latency(), 0.99, look),
          absl::StrCat(server.connections()),
          server.draining() ? "draining" : "serving"};
}

}  // namespace

std::string StatText(const std::string& address, const GetResponse& before, const GetResponse& now, const Look& look) {
  const GetResponse since = Since(before, now);
  const char* const between = look.terminal ? "\n" : "";
  return absl::StrCat(ServerText(address, since, now, look), between, MethodsText(since, now, look), between,
                      ConnectionsText(now, look), between, UsersText(now, look));
}

std::string StatText(std::span<const StatRow> rows, const Look& look) {
  Table table("", {{"ADDRESS"},
                   {"PID", true},
                   {"%CPU", true},
                   {"CALLS/S", true},
                   {"ACTIVE", true},
                   {"FAILED/S", true},
                   {"P50", true},
                   {"P99", true},
                   {"CONNECTIONS", true},
                   {"STATE"}});
  for (const StatRow& row : rows) table.Add(Fields(row, look));
  return table.Text(look);
}

}  // namespace nearcall::tools
