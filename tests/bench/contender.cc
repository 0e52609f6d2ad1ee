// SPDX-License-Identifier: Apache-2.0
#include "bench/contender.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "bench/caller.h"
#include "support/usage.h"

namespace nearcall::bench {

namespace {

// For telling all clients, before the first one begins.
constexpr int64_t kMusterNs = 2'000'000;

constexpr int kCrowdProcesses = 4;

}  // namespace

std::string NewAddress(const std::string& subject, const std::string& transport) {
  static int count = 0;
  const std::string name = absl::StrCat("bench-", ++count);
  const std::string path = absl::StrCat(std::getenv("NEARCALL_DIR"), "/", name);
  if (subject.starts_with("grpc")) return absl::StrCat("unix:", path, ".grpc");
  return subject == "raw" ? absl::StrCat(path, ".raw") : absl::StrCat(transport, ":", name);
}

std::unique_ptr<Worker> StartServer(const SubjectParams& params) {
  auto server = std::make_unique<Worker>([&params] { Serve(params); });
  if (server->ReadLine() != "ready") Die(absl::StrCat("the server of ", params.address, " did not start"));
  return server;
}

Contender::Contender(std::string name, SubjectParams params, int clients)
    : name_(std::move(name)), params_(std::move(params)) {
  if (HasServer(params_.subject)) {
    params_.address = NewAddress(params_.subject, params_.transport);
    server_worker_ = StartServer(params_);
    server_pid_ = server_worker_->pid();
  }
  StartClients(params_, clients, clients_);
}

void Contender::StartClients(const SubjectParams& params, int count, std::vector<std::unique_ptr<Worker>>& clients) {
  for (int i = 0; i < count; ++i) clients.push_back(std::make_unique<Worker>([&params] { RunCaller(params); }));
  for (const auto& client : clients) {
    pid_t peer = 0;
    if (!absl::SimpleAtoi(client->ReadLine(), &peer)) Die(absl::StrCat("a client of ", name_, " did not start"));
    if (peer != 0) server_pid_ = peer;
  }
}

void Contender::AddCrowd(int connections) {
  SubjectParams params = params_;
  params.subject = "crowd";
  params.connections = connections / kCrowdProcesses;
  StartClients(params, kCrowdProcesses, crowd_);
}

Outcome Contender::Run(Batch batch) {
  batch.begin_ns = base::NowNs() + kMusterNs * static_cast<int64_t>(1 + clients_.size() / 16);
  const double cpu_before = server_pid_ == 0 ? 0 : testing::CpuMs(server_pid_);
  for (const auto& client : clients_) client->WriteLine(batch.ToLine());
  Outcome outcome;
  for (const auto& client : clients_) {
    std::optional<BatchResult> result = BatchResult::FromLine(client->ReadLine());
    if (!result) Die(absl::StrCat("a client of ", name_, " ended in the middle"));
    outcome.clients.push_back(*std::move(result));
  }
  if (server_pid_ != 0) outcome.server_cpu_us = (testing::CpuMs(server_pid_) - cpu_before) * 1000;
  return outcome;
}

}  // namespace nearcall::bench
