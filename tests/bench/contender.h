#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "bench/batch.h"
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

  struct Outcome {
    std::vector<BatchResult> clients;
    double server_cpu_us = 0;

    double calls() const;
    double calls_per_second() const;
    double client_cpu_us_per_call() const;
    double server_cpu_us_per_call() const { return server_cpu_us / calls(); }
    // Most and least calls of those who should have got the same.
    double fairness() const;
    Histogram latency() const;
  };

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
