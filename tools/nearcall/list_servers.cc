// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "ask_all.h"
#include "commands.h"
#include "nearcall/generic.h"
#include "printable.h"
#include "server_sockets.h"
#include "table.h"

namespace nearcall::tools {

namespace {

// Those that a server may have at its socket.
constexpr const char* kTransports[] = {"shm", "mq", "pipe", "sysv"};
struct Row {
  std::string address;
  std::string pid;
  std::string user;
  std::string transports;
  std::string state;
};

struct Way {
  const char* transport;
  std::string address;
};

std::vector<Way> WaysTo(const ServerSocket& socket) {
  if (socket.has_fifos) return {{"fifo", socket.path}};
  std::vector<Way> ways;
  for (const char* transport : kTransports) ways.push_back({transport, absl::StrCat(transport, ":", socket.path)});
  return ways;
}

// What its health service says of the whole.
std::string HealthOf(const std::shared_ptr<Channel>& channel, absl::Time deadline) {
  const absl::StatusOr<Bytes> reply =
      GenericStub(channel).Unary("grpc.health.v1.Health/Check", Bytes(), {.deadline = deadline});
  if (!reply.ok()) {
    if (absl::IsUnimplemented(reply.status())) return "serving (has no health service)";
    if (absl::IsDeadlineExceeded(reply.status())) return "hangs";
    return Printable(reply.status().ToString(absl::StatusToStringMode::kWithNoExtraData));
  }
  if (reply->str() == "\x08\x01") return "serving";  // field 1, SERVING
  return reply->str() == "\x08\x02" ? "not serving" : "unknown";
}

Row Ask(const ServerSocket& socket, absl::Time end) {
  const SocketOwner owner = OwnerOf(socket);
  Row row = {.address = Printable(socket.address),
             .pid = owner.pid == 0 ? "-" : absl::StrCat(owner.pid),
             .user = owner.user.empty() ? "-" : owner.user,
             .transports = "-",
             .state = owner.why_not};
  if (!owner.why_not.empty()) return row;
  const absl::Time deadline = PatienceUntil(end);
  std::vector<std::string> transports;
  for (const Way& way : WaysTo(socket)) {
    const auto channel = ConnectTo(way.address, deadline);
    if (channel.ok()) {
      if (transports.empty()) row.state = HealthOf(*channel, deadline);
      transports.emplace_back(way.transport);
    } else if (transports.empty()) {
      row.state = WhyNoAnswer(channel.status());
      if (!absl::IsFailedPrecondition(channel.status())) break;
    }
  }
  if (!transports.empty()) row.transports = absl::StrJoin(transports, ",");
  return row;
}

void Print(const std::vector<Row>& rows) {
  Table table("", {{"ADDRESS"}, {"PID", true}, {"USER"}, {"TRANSPORTS"}, {"STATE"}});
  for (const Row& row : rows) table.Add({row.address, row.pid, row.user, row.transports, row.state});
  std::fputs(table.Text(Look::OfOutput()).c_str(), stdout);
}

}  // namespace

Outcome ListServers(const Settings& settings) {
  const std::vector<ServerSocket> sockets = FindServerSockets();
  std::vector<Row> rows(sockets.size());
  AskAll(sockets.size(), [&](size_t i) { rows[i] = Ask(sockets[i], settings.deadline); });
  Print(rows);
  return {};
}

}  // namespace nearcall::tools
