// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/descriptor_database.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "grpc/reflection/v1/reflection.nearcall.pb.h"
#include "printable.h"
#include "schema.h"

namespace nearcall::tools {

namespace {

using google::protobuf::DescriptorDatabase;
using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptorProto;
using ::grpc::reflection::v1::ServerReflection;
using ::grpc::reflection::v1::ServerReflectionRequest;
using ::grpc::reflection::v1::ServerReflectionResponse;

// What FindFileByName() takes first: a string before Protocol Buffers 31, then that or a string_view, as they were
// built.
template <typename Member>
struct FirstParameter;
template <typename Class, typename First, typename... Rest>
struct FirstParameter<bool (Class::*)(First, Rest...)> {
  using Type = First;
};
using NameView = FirstParameter<decltype(&DescriptorDatabase::FindFileByName)>::Type;

// Asks the server for what is not known yet. It believes nothing: the pool checks each file.
class ServerDatabase final : public DescriptorDatabase {
 public:
  ServerDatabase(std::shared_ptr<Channel> channel, absl::Time deadline)
      : stub_(std::move(channel)), deadline_(deadline) {}

  absl::StatusOr<ServerReflectionResponse> Ask(const ServerReflectionRequest& request) {
    if (stream_ == nullptr) stream_ = stub_.ServerReflectionInfo({.deadline = deadline_});
    ServerReflectionResponse response;
    if (stream_->Write(request) && stream_->Read(&response)) return response;
    absl::Status why = stream_->Finish();
    stream_ = nullptr;
    if (why.ok()) why = absl::InternalError("the server's reflection has ended without an answer");
    if (!absl::IsUnimplemented(why)) return why;
    return absl::UnimplementedError("the server has no reflection service; use --proto or --protoset");
  }

  const absl::Status& failure() const { return failure_; }
  // What the server has said last of what it does not know.
  const std::string& answer() const { return answer_; }

  // DescriptorDatabase
  bool FindFileByName(NameView name, FileDescriptorProto* file) override {
    if (files_.FindFileByName(name, file)) return true;
    ServerReflectionRequest request;
    request.set_file_by_filename(name);
    return Fetch(request) && files_.FindFileByName(name, file);
  }
  bool FindFileContainingSymbol(NameView symbol, FileDescriptorProto* file) override {
    if (files_.FindFileContainingSymbol(symbol, file)) return true;
    ServerReflectionRequest request;
    request.set_file_containing_symbol(symbol);
    return Fetch(request) && files_.FindFileContainingSymbol(symbol, file);
  }
  bool FindFileContainingExtension(NameView type, int number, FileDescriptorProto* file) override {
    if (files_.FindFileContainingExtension(type, number, file)) return true;
    ServerReflectionRequest request;
    request.mutable_file_containing_extension()->set_containing_type(type);
    request.mutable_file_containing_extension()->set_extension_number(number);
    return Fetch(request) && files_.FindFileContainingExtension(type, number, file);
  }

 private:
  bool Fetch(const ServerReflectionRequest& request) {
    const absl::StatusOr<ServerReflectionResponse> response = Ask(request);
    if (!response.ok()) {
      failure_.Update(response.status());
      return false;
    }
    answer_ = response->error_response().error_message();
    for (const std::string& bytes : response->file_descriptor_response().file_descriptor_proto()) {
      FileDescriptorProto file;
      if (!file.ParseFromString(bytes)) {
        failure_.Update(absl::InternalError("the server describes itself by what is no FileDescriptorProto"));
        return false;
      }
      if (names_.insert(file.name()).second && !files_.Add(file)) {
        failure_.Update(absl::InternalError(absl::StrCat("the server's description of ", Printable(file.name()),
                                                         " is wrong, or contradicts another one of its own")));
      }
    }
    return true;
  }

  const ServerReflection::Stub stub_;
  const absl::Time deadline_;
  std::unique_ptr<ClientReaderWriter<ServerReflectionRequest, ServerReflectionResponse>> stream_;
  google::protobuf::SimpleDescriptorDatabase files_;
  std::set<std::string> names_;
  absl::Status failure_;
  std::string answer_;
};

// What is wrong with a file that the server has sent.
class Errors final : public DescriptorPool::ErrorCollector {
 public:
  const std::string& first() const { return first_; }

#if GOOGLE_PROTOBUF_VERSION >= 4022000
  void RecordError(absl::string_view file, absl::string_view element, const google::protobuf::Message*, ErrorLocation,
                   absl::string_view message) override {
    Note(file, element, message);
  }
#else
  void AddError(const std::string& file, const std::string& element, const google::protobuf::Message*, ErrorLocation,
                const std::string& message) override {
    Note(file, element, message);
  }
#endif

 private:
  void Note(absl::string_view file, absl::string_view element, absl::string_view message) {
    if (first_.empty()) first_ = absl::StrCat(file, ": ", element, ": ", message);
  }

  std::string first_;
};

class ReflectedSchema final : public Schema {
 public:
  ReflectedSchema(std::shared_ptr<Channel> channel, absl::Time deadline)
      : database_(std::move(channel), deadline), pool_(&database_, &errors_) {}

  absl::StatusOr<std::vector<std::string>> Services() override {
    ServerReflectionRequest request;
    request.set_list_services("");
    const absl::StatusOr<ServerReflectionResponse> response = database_.Ask(request);
    if (!response.ok()) return response.status();
    std::vector<std::string> names;
    for (const auto& service : response->list_services_response().service()) names.push_back(service.name());
    std::sort(names.begin(), names.end());
    return names;
  }

 protected:
  const DescriptorPool& pool() override { return pool_; }
  std::string hint() override {
    return database_.answer().empty() ? "" : absl::StrCat("; the server says: ", Printable(database_.answer()));
  }
  absl::Status failure() override {
    if (!database_.failure().ok()) return database_.failure();
    if (errors_.first().empty()) return absl::OkStatus();
    return absl::InternalError(
        absl::StrCat("the server's description of itself is wrong: ", Printable(errors_.first())));
  }

 private:
  ServerDatabase database_;
  Errors errors_;
  const DescriptorPool pool_;
};

}  // namespace

std::unique_ptr<Schema> Schema::OfServer(std::shared_ptr<Channel> channel, absl::Time deadline) {
  return std::make_unique<ReflectedSchema>(std::move(channel), deadline);
}

}  // namespace nearcall::tools
