// SPDX-License-Identifier: Apache-2.0
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ask_all.h"
#include "commands.h"
#include "json.h"
#include "nearcall/stats/v1/stats.nearcall.pb.h"
#include "printable.h"
#include "prometheus.h"
#include "server_sockets.h"
#include "snapshot.h"
#include "stat_tables.h"
#include "stats_outcome.h"
#include "table.h"

namespace nearcall::tools {

namespace {

using stats::v1::GetRequest;
using stats::v1::GetResponse;

absl::StatusOr<GetResponse> Ask(const std::shared_ptr<Channel>& channel, absl::Time deadline) {
  absl::StatusOr<GetResponse> response = stats::v1::Stats::Stub(channel).Get(GetRequest(), {.deadline = deadline});
  if (!response.ok()) return ExplainStats(response.status());
  return response;
}

absl::StatusOr<std::string> JsonOf(const GetResponse& stats, const Settings& settings) {
  return ToJson(stats, settings.json);
}

// Tables that follow each other on a terminal stand in the same place, as far as they fit.
void Show(const std::string& text, const Settings& settings, const Look& look) {
  std::string shown = text;
  if (look.terminal && settings.rounds != 1) {
    winsize size{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1) {
      size_t end = 0;
      for (int line = 0; line < size.ws_row - 1 && end != std::string::npos; ++line) end = shown.find('\n', end + 1);
      if (end != std::string::npos) shown.resize(end + 1);
    }
    shown = absl::StrCat("\033[H\033[J", shown);
  }
  std::fwrite(shown.data(), 1, shown.size(), stdout);
  std::fflush(stdout);
}

// `round(deadline)`, as often as is asked for, each an interval after the one before.
Outcome Repeat(const Settings& settings, const auto& round) {
  absl::Time next = absl::Now();
  for (size_t i = 1;; ++i) {
    if (Outcome outcome = round(absl::Now() + settings.timeout); !outcome.ok() || i == settings.rounds) return outcome;
    next = std::max(next + settings.interval, absl::Now());
    absl::SleepFor(next - absl::Now());
  }
}

// --- one server ---

Outcome StatOne(const Settings& settings) {
  const auto channel = ConnectTo(settings.address, settings.deadline);
  if (!channel.ok()) return Outcome::OfConnect(channel.status());
  const Look look = Look::OfOutput();
  GetResponse before;
  return Repeat(settings, [&](absl::Time deadline) -> Outcome {
    absl::StatusOr<GetResponse> now = Ask(*channel, deadline);
    if (!now.ok()) return OfStats(now.status());
    if (settings.format == Format::kPrometheus) {
      const Snapshot snapshot = {settings.address, *now};
      std::fputs(PrometheusText({&snapshot, 1}).c_str(), stdout);
    } else if (settings.format == Format::kJson) {
      const absl::StatusOr<std::string> json = JsonOf(*now, settings);
      if (!json.ok()) return Outcome::OfCall(json.status());
      std::printf("%s\n", json->c_str());
      std::fflush(stdout);
    } else {
      Show(StatText(settings.address, before, *now, look), settings, look);
    }
    before = *std::move(now);
    return {};
  });
}

// --- all servers ---

// One of them, as long as it is there.
struct Watched {
  StatRow row;
  std::shared_ptr<Channel> channel;
};

void Refresh(Watched& watched, const ServerSocket& socket, absl::Time end) {
  watched.row.before = std::move(watched.row.now);
  watched.row.now.Clear();
  watched.row.state.clear();
  const absl::Time deadline = PatienceUntil(end);
  if (watched.channel == nullptr) {
    if (SocketOwner owner = OwnerOf(socket); !owner.why_not.empty()) {
      watched.row.state = owner.why_not;
      return;
    }
    auto connected = ConnectTo(socket.path, deadline);
    if (!connected.ok()) {
      watched.row.state = WhyNoAnswer(connected.status());
      return;
    }
    watched.channel = *std::move(connected);
  }
  absl::StatusOr<GetResponse> now = Ask(watched.channel, deadline);
  if (now.ok()) {
    watched.row.now = *std::move(now);
    return;
  }
  watched.channel = nullptr;
  watched.row.state = WhyNoAnswer(now.status());
}

using AllWatched = std::map<std::string, Watched>;  // by path

void RefreshAll(AllWatched& all, absl::Time end) {
  AllWatched present;
  const std::vector<ServerSocket> sockets = FindServerSockets();
  for (const ServerSocket& socket : sockets) {
    Watched& watched = present[socket.path];
    if (auto known = all.find(socket.path); known != all.end()) watched = std::move(known->second);
    watched.row.address = Printable(socket.address);
  }
  AskAll(sockets.size(), [&](size_t i) { Refresh(present.at(sockets[i].path), sockets[i], end); });
  all = std::move(present);
}

Outcome PrintJson(const StatRow& row, const Settings& settings) {
  const std::string address = JsonString(row.address);
  if (!row.state.empty()) {
    std::printf("{\"address\":%s,\"state\":%s}\n", address.c_str(), JsonString(row.state).c_str());
    return {};
  }
  const absl::StatusOr<std::string> json = JsonOf(row.now, settings);
  if (!json.ok()) return Outcome::OfCall(json.status());
  std::printf("{\"address\":%s,\"stats\":%s}\n", address.c_str(), json->c_str());
  return {};
}

Outcome StatAll(const Settings& settings) {
  const Look look = Look::OfOutput();
  AllWatched all;
  return Repeat(settings, [&](absl::Time deadline) -> Outcome {
    RefreshAll(all, deadline);
    std::vector<StatRow> rows;
    std::vector<Snapshot> snapshots;
    for (const auto& [path, watched] : all) {
      rows.push_back(watched.row);
      if (watched.row.state.empty()) snapshots.push_back({watched.row.address, watched.row.now});
    }
    if (settings.format == Format::kPrometheus) {
      std::fputs(PrometheusText(snapshots).c_str(), stdout);
    } else if (settings.format == Format::kText) {
      Show(StatText(rows, look), settings, look);
    }
    for (size_t i = 0; settings.format == Format::kJson && i < rows.size(); ++i) {
      if (Outcome printed = PrintJson(rows[i], settings); !printed.ok()) return printed;
    }
    std::fflush(stdout);
    return {};
  });
}

}  // namespace

Outcome Stat(const Settings& settings) {
  return settings.address.empty() ? StatAll(settings) : StatOne(settings);
}

}  // namespace nearcall::tools
