// SPDX-License-Identifier: Apache-2.0
#include "bench/targets.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace nearcall::bench {

namespace {

using Value = std::optional<double>;

// What rows are made of. Every value is missing if anything that it needs is.
class Judgement {
 public:
  Judgement(const Journal& journal, std::vector<Target>& targets) : journal_(journal), targets_(targets) {}

  Value P50(const std::string& section, const std::string& variant, const std::string& who) const {
    return MedianOf(&Measurement::p50_us, section, variant, who);
  }
  Value P99(const std::string& section, const std::string& variant, const std::string& who) const {
    return MedianOf(&Measurement::p99_us, section, variant, who);
  }
  Value Rate(const std::string& section, const std::string& variant, const std::string& who) const {
    return MedianOf(&Measurement::calls_per_second, section, variant, who);
  }
  // Of one caller, without what the benchmark does between its calls: at what rate bytes go.
  Value RateOfCalling(const std::string& section, const std::string& variant, const std::string& who) const {
    return MedianOf(&Measurement::calls_per_second_of_calling, section, variant, who);
  }
  Value Fairness(const std::string& section, const std::string& variant, const std::string& who) const {
    return MedianOf(&Measurement::fairness, section, variant, who);
  }
  // gRPC's better server, by p50, and by rate.
  Value GrpcP50(const std::string& section, const std::string& variant) const {
    return GrpcsBest(&Measurement::p50_us, Journal::Better::kLess, section, variant);
  }
  Value GrpcRate(const std::string& section, const std::string& variant) const {
    return GrpcsBest(&Measurement::calls_per_second, Journal::Better::kMore, section, variant);
  }
  Value GrpcRateOfCalling(const std::string& section, const std::string& variant) const {
    return GrpcsBest(&Measurement::calls_per_second_of_calling, Journal::Better::kMore, section, variant);
  }
  // Of both sides, for each call.
  Value Cpu(const std::string& section, const std::string& variant, const std::string& who) const {
    const Value client = MedianOf(&Measurement::client_cpu_us, section, variant, who);
    const Value server = MedianOf(&Measurement::server_cpu_us, section, variant, who);
    return client && server ? Value(*client + *server) : Value();
  }
  Value FigureOf(const std::string& section, const std::string& name) const {
    const Figure* found = journal_.FindFigure(section, name);
    return found == nullptr ? Value() : found->values.median();
  }

  void AtMost(int row, const std::string& what, const std::string& unit, Value measured, Value must, Value aim) {
    targets_.push_back({.row = row, .what = what, .unit = unit, .measured = measured, .must = must, .aim = aim});
  }
  void AtLeast(int row, const std::string& what, const std::string& unit, Value measured, Value must, Value aim) {
    AtMost(row, what, unit, measured, must, aim);
    targets_.back().at_least = true;
  }

 private:
  Value MedianOf(Series Measurement::*what, const std::string& section, const std::string& variant,
                 const std::string& who) const {
    const Measurement* found = journal_.Find(section, variant, who);
    return found == nullptr ? Value() : (found->*what).median();
  }

  Value GrpcsBest(Series Measurement::*what, Journal::Better better, const std::string& section,
                  const std::string& variant) const {
    const Measurement* found = journal_.FindGrpc(section, variant, what, better);
    return found == nullptr ? Value() : (found->*what).median();
  }

  const Journal& journal_;
  std::vector<Target>& targets_;
};

Value operator*(double factor, Value value) {
  return value ? Value(factor * *value) : value;
}
Value operator+(Value a, Value b) {
  return a && b ? Value(*a + *b) : Value();
}
Value operator/(Value a, Value b) {
  return a && b && *b != 0 ? Value(*a / *b) : Value();
}

constexpr char kApart[] = "apart, back to back";

void JudgeSpinning(Judgement& j) {
  const Value line = j.P50("latency", kApart, "F_line");
  const Value protobuf = j.P50("latency", kApart, "P");
  const Value shm = j.P50("latency", kApart, "shm");
  j.AtMost(1, "shm, 64 B, back to back, apart: p50 against 5 F_line + 1.2 P", "us", shm, 5 * line + 1.2 * protobuf,
           3 * line + protobuf);
  j.AtLeast(2, "the same against gRPC, p50", "x", j.GrpcP50("latency", kApart) / shm, 120, 200);
}

void JudgeSleeping(Judgement& j) {
  const Value protobuf = j.P50("latency", kApart, "P");
  const Value semaphore = j.P50("latency", kApart, "F_sem");
  j.AtMost(3, "shm, no spin, apart: p50 against 1.25 F_sem + P", "us", j.P50("latency", kApart, "shm, no spin"),
           1.25 * semaphore + protobuf, 1.08 * semaphore + protobuf);
  const Value p99 = j.P99("latency", kApart, "F_sem");
  j.AtMost(3, "the same, p99 against 1.5 p99(F_sem)", "us", j.P99("latency", kApart, "shm, no spin"), 1.5 * p99,
           1.2 * p99);
  for (const char* placement : {"apart", "together", "unpinned"}) {
    for (const char* gap : {"after 1 ms", "after 10 ms"}) {
      const std::string variant = absl::StrCat(placement, ", ", gap);
      const Value floor = j.P50("latency", variant, "F_sem");
      j.AtMost(4, absl::StrCat("shm, ", variant, ": p50 against 1.25 F_sem"), "us", j.P50("latency", variant, "shm"),
               1.25 * floor, 1.1 * floor);
    }
  }
}

void JudgeInFlight(Judgement& j) {
  const Value rate = j.Rate("in_flight", "64", "shm");
  j.AtLeast(5, "shm, 64 calls in flight", "calls/s", rate, 2e6, 4e6);
  j.AtLeast(5, "the same against gRPC", "x", rate / j.GrpcRate("in_flight", "64"), 25, 50);
  for (const char* in_flight : {"16", "64", "1000"}) {
    j.AtMost(6, absl::StrCat("shm, ", in_flight, " calls in flight: system calls of both sides"), "/call",
             j.FigureOf("syscalls", absl::StrCat("shm, ", in_flight)), 0.05, 0.005);
  }
}

void JudgeSizes(Judgement& j) {
  const auto against_grpc = [&](const char* size) {
    return j.RateOfCalling("sizes", size, "shm") / j.GrpcRateOfCalling("sizes", size);
  };
  j.AtLeast(7, "shm, 1 MiB echo against gRPC, rate", "x", against_grpc("1 MiB"), 6, 8);
  j.AtLeast(8, "shm, 16 MiB echo against gRPC, rate", "x", against_grpc("16 MiB"), 6, 9);
}

void JudgeClients(Judgement& j) {
  for (const char* clients : {"8", "64", "256"}) {
    const Value rate = j.Rate("clients", clients, "shm");
    j.AtLeast(9, absl::StrCat("shm, ", clients, " client processes against gRPC, calls/s"), "x",
              rate / j.GrpcRate("clients", clients), 5, 10);
    if (clients == std::string("8")) continue;
    j.AtLeast(9, absl::StrCat("shm, ", clients, " client processes against the raw loop, calls/s"), "x",
              rate / j.Rate("clients", clients, "raw loop"), 0.6, 0.9);
  }
  for (const char* clients : {"8", "64", "256"}) {
    j.AtMost(10, absl::StrCat("shm, ", clients, " client processes: most over least calls"), "x",
             j.Fairness("clients", clients, "shm"), 1.5, 1.15);
  }
  for (const char* threads : {"8", "64"}) {
    j.AtMost(10, absl::StrCat("shm, ", threads, " threads on one channel: most over least calls"), "x",
             j.Fairness("threads", threads, "shm"), 1.5, 1.15);
  }
}

void JudgeIdle(Judgement& j) {
  j.AtMost(11, "shm, 1000 idle clients: CPU of the server", "% of a core", j.FigureOf("idle", "server CPU"), 0.1, 0);
  j.AtMost(11, "shm, 1000 idle clients: wake-ups of the server", "/s", j.FigureOf("idle", "wake-ups"), 10, 0);
  j.AtMost(12, "shm, a busy client beside 1000 idle ones, p50 against alone", "x",
           j.P50("idle", "busy", "shm, beside 1000") / j.P50("idle", "busy", "shm, alone"), 1.1, 1.02);
  j.AtMost(13, "shm, memory of the server for each idle client", "KiB", j.FigureOf("idle", "memory for each client"),
           256, 64);
}

void JudgeKernelTransports(Judgement& j) {
  const Value protobuf = j.P50("latency", kApart, "P");
  for (const auto& [transport, floor] : {std::pair("mq", "F_mq"), std::pair("pipe", "F_pipe")}) {
    const Value trip = j.P50("latency", kApart, floor);
    j.AtMost(14, absl::StrCat(transport, ", 64 B, apart: p50 against 1.15 ", floor, " + P"), "us",
             j.P50("latency", kApart, transport), 1.15 * trip + protobuf, 1.05 * trip + protobuf);
  }
  for (const char* transport : {"pipe", "mq"}) {
    j.AtLeast(15, absl::StrCat(transport, ", 1 MiB against a raw loop with its frame size, rate"), "x",
              j.RateOfCalling("sizes", "1 MiB", transport) /
                  j.RateOfCalling("sizes", "1 MiB", absl::StrCat("raw ", transport)),
              0.9, 0.97);
  }
}

void JudgeTheRest(Judgement& j) {
  for (const char* transport : {"shm", "mq", "pipe"}) {
    j.AtMost(16, absl::StrCat(transport, ", urgent beside bulk: p99 against F_sem under the same load"), "x",
             j.P99("urgent", transport, "urgent") / j.P99("urgent", transport, "F_sem"), 2, 1.3);
  }
  const Value raw = j.P50("connect", "first reply", "raw connect");
  j.AtMost(18, "shm, connect to first reply against 3 raw connects, p50", "us", j.P50("connect", "first reply", "shm"),
           3 * raw, 2 * raw);
  for (const char* transport : {"shm", "mq", "pipe"}) {
    j.AtMost(19, absl::StrCat(transport, ", kill -9 of the server to UNAVAILABLE, p99"), "us",
             j.P99("death", "unavailable", transport), 5000, 1000);
  }
  j.AtMost(20, "#include of the generated header, over that of .pb.h", "s",
           j.FigureOf("compile", "more for .nearcall.pb.h"), 0.45, {});
  j.AtMost(20, "generated lines against gRPC's", "x",
           j.FigureOf("compile", "lines of .nearcall.pb.{h,cc}") / j.FigureOf("compile", "lines of .grpc.pb.{h,cc}"),
           0.25, {});
}

void JudgeStreams(Judgement& j) {
  const Value unary = j.P50("streams", "trips", "unary");
  j.AtMost(23, "shm, 64 B, a dialogue: p50 of a word and its answer against a unary call", "x",
           j.P50("streams", "trips", "chat") / unary, 1.2, 1.0);
  j.AtMost(23, "the same by coroutines", "x", j.P50("streams", "trips", "coroutine chat") / unary, 1.5, 1.2);
  j.AtMost(23, "shm, 64 B, a unary call by coroutines, p50 against a blocking one", "x",
           j.P50("streams", "trips", "coroutine") / unary, 1.1, {});
  j.AtMost(23, "shm, 64 B, a blocking call over a channel with an event queue, p50 against one without", "x",
           j.P50("streams", "trips", "event queue, blocking") / unary, 1.3, {});
  j.AtMost(23, "shm, 64 B, no spin: a call in a loop that sleeps in poll(2), p50 against a blocking one", "x",
           j.P50("streams", "trips", "event queue, no spin") / j.P50("streams", "trips", "unary, no spin"), 1.3, {});
  for (const char* who : {"down", "coroutine down"}) {
    const Value rate = j.Rate("streams", "elements", who);
    const std::string what = who == std::string("down") ? "blocking" : "coroutines";
    j.AtLeast(17, absl::StrCat("shm, 64 B elements from the server, ", what), "/s", rate, 3e6, 8e6);
    j.AtLeast(17, "the same against gRPC", "x", rate / j.Rate("streams", "elements", "gRPC"), 10, {});
  }
}

void JudgeWaiting(Judgement& j) {
  for (const auto& [variant, calls] : {std::pair("8", 8), std::pair("64", 64), std::pair("200", 200)}) {
    for (const char* who : {"blocking", "async"}) {
      j.AtMost(24, absl::StrCat("shm, ", calls, " calls of 100 ms at once, ", who, ": until all are over"), "ms",
               0.001 * j.P50("waiting", variant, who), 130 + 0.3 * calls, 110);
    }
  }
}

// Calls that come now and then, where spinning could cost more than it gains.
void JudgePace(Judgement& j) {
  for (const char* calls : {"1000", "10000"}) {
    const Value cpu = j.Cpu("pace", calls, "shm");
    const std::string what = absl::StrCat("shm, ", calls, " calls/s: CPU of both sides against ");
    j.AtMost(21, what + "F_sem's", "x", cpu / j.Cpu("pace", calls, "F_sem"), 4, 2);
    const Value callbacks = j.Cpu("pace", calls, "gRPC");
    const Value queues = j.Cpu("pace", calls, "gRPC, queues");
    j.AtMost(21, what + "gRPC's", "x", cpu / (callbacks && queues ? std::min(callbacks, queues) : Value()), 0.75, 0.4);
  }
}

bool CountsOnlyWhereNear(int row) {
  return row == 1 || row == 2 || row == 5;
}

std::string Number(Value value) {
  if (!value) return "";
  if (*value >= 1e5) return absl::StrFormat("%.2f M", *value / 1e6);
  return absl::StrFormat("%.*f", *value < 0.1 ? 4 : *value < 10 ? 2 : *value < 100 ? 1 : 0, *value);
}

}  // namespace

Target::State Target::state() const {
  if (!measured || !must) return State::kNotMeasured;
  const auto reaches = [&](double goal) { return at_least ? *measured >= goal : *measured <= goal; };
  if (!reaches(*must)) return State::kMissed;
  return aim && reaches(*aim) ? State::kAimed : State::kMet;
}

std::string ToString(Target::State state) {
  switch (state) {
    case Target::State::kMissed:
      return "MISSED";
    case Target::State::kMet:
      return "met";
    case Target::State::kAimed:
      return "met, and the aim";
    default:
      return "not measured";
  }
}

std::vector<Target> Judge(const Journal& journal, bool near, const std::set<int>& rows) {
  std::vector<Target> all;
  Judgement judgement(journal, all);
  for (const auto judge : {JudgeSpinning, JudgeSleeping, JudgeInFlight, JudgeSizes, JudgeClients, JudgeIdle,
                           JudgeKernelTransports, JudgeTheRest, JudgePace, JudgeStreams, JudgeWaiting}) {
    judge(judgement);
  }
  std::vector<Target> targets;
  for (Target& target : all) {
    if (!rows.empty() && !rows.contains(target.row)) continue;
    if (!near && CountsOnlyWhereNear(target.row)) target.remark = "in the machine's far state, does not count";
    targets.push_back(std::move(target));
  }
  return targets;
}

void Print(const std::vector<Target>& targets) {
  absl::PrintF("\nTargets\n %3s  %-72s %10s  %-13s %-13s\n", "row", "", "measured", "must", "aim");
  for (const Target& target : targets) {
    const char* relation = target.at_least ? ">=" : "<=";
    const auto goal = [&](Value value) { return value ? absl::StrCat(relation, " ", Number(value)) : ""; };
    absl::PrintF(" %3d  %-72s %10s  %-13s %-13s %-11s %s\n", target.row, target.what, Number(target.measured),
                 goal(target.must), goal(target.aim), target.unit,
                 absl::StrCat(ToString(target.state()), target.remark.empty() ? "" : ": ", target.remark));
  }
  std::fflush(stdout);
}

}  // namespace nearcall::bench
