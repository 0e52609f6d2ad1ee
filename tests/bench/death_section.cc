// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "bench/contender.h"
#include "bench/entrants.h"
#include "bench/nearcall_subject.h"
#include "bench/sections.h"

namespace nearcall::bench {

namespace {

// Says when its call has ended.
void CallUntilDeath(const SubjectParams& params) {
  ::bench::Echo::Stub stub(ConnectTo(params));
  const absl::Status status = stub.Stall(::bench::Data()).status();
  const int64_t ended = base::NowNs();
  if (status.code() == absl::StatusCode::kUnavailable) std::cout << ended << std::endl;
}

// From kill(2) to the end of the call that the server had in its hands.
double TimeDeathUs(const std::string& transport) {
  SubjectParams params = NearcallOver(transport, kSpinUs, Unpinned());
  params.address = NewAddress(params.subject, params.transport);
  const std::unique_ptr<Worker> server = StartServer(params);
  Worker client([&params] { CallUntilDeath(params); });
  if (server->ReadLine() != "stalled") Die("the call has not arrived");
  const int64_t killed = base::NowNs();
  server->StartKill();
  int64_t ended = 0;
  if (!absl::SimpleAtoi(client.ReadLine(), &ended)) Die("the call has not ended with UNAVAILABLE");
  return static_cast<double>(ended - killed) / 1000;
}

}  // namespace

void MeasureDeath(const Plan& plan, Journal& journal) {
  std::vector<Measurement> measurements;
  for (const char* transport : {"shm", "mq", "pipe"}) {
    Measurement& measurement = measurements.emplace_back();
    measurement.section = "death";
    measurement.variant = "unavailable";
    measurement.who = transport;
    measurement.placement = Unpinned().name;
  }
  for (int64_t i = 0; i < plan.Choose(100, 500); ++i) {
    for (Measurement& measurement : measurements) measurement.latency.Add(TimeDeathUs(measurement.who));
  }
  for (Measurement& measurement : measurements) {
    measurement.p50_us.Add(measurement.latency.Percentile(0.5));
    measurement.p99_us.Add(measurement.latency.Percentile(0.99));
  }
  journal.Add("from kill -9 of the server to UNAVAILABLE at a caller that waits for its reply, unpinned",
              std::move(measurements));
}

}  // namespace nearcall::bench
