// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "bench/batch.h"
#include "bench/outcome.h"
#include "bench/subject.h"
#include "bench/worker.h"

namespace nearcall::bench {

// A subject at work: its server (if it has one) and its clients, each a process of its own. While it is not asked to do
// anything all of them sleep, so several contenders stand side by side and are measured in turn.
class Contender {
 public:
  Contender(std::string name, SubjectParams params, int clients = 1);

  const std::string& name() const { return name_; }
  const SubjectParams& params() const { return params_; }
  pid_t server() const { return server_pid_; }
  pid_t client() const { return clients_.front()->pid(); }

  // So many more connections to the server, from a few processes, that do nothing.
  void AddCrowd(int connections);

  // All clients at once.
  Outcome Run(Batch batch);

 private:
  void StartClients(const SubjectParams& params, int count, std::vector<std::unique_ptr<Worker>>& clients);

  std::string name_;
  SubjectParams params_;
  std::unique_ptr<Worker> server_worker_;
  std::vector<std::unique_ptr<Worker>> clients_;
  std::vector<std::unique_ptr<Worker>> crowd_;
  pid_t server_pid_ = 0;
};

using Contenders = std::deque<Contender>;

// An address for one more server in $NEARCALL_DIR.
std::string NewAddress(const std::string& subject, const std::string& transport);

// A server that is ready.
std::unique_ptr<Worker> StartServer(const SubjectParams& params);

}  // namespace nearcall::bench
