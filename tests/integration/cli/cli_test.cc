// SPDX-License-Identifier: Apache-2.0

// The command line nearcall(1), as a process, against servers that serve, hang, lie, or are dead.
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "cli_fixture.h"
#include "google/protobuf/descriptor.pb.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "nearcall/generic.h"
#include "stream.pb.h"
#include "support/process.h"

namespace nearcall::integration {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A file without messages, which the linker would leave out of this program: nobody names it.
[[gnu::used]] const void* const linked = &descriptor_table_stream_2eproto;

constexpr char kSpell[] = " nearcall.integration.Echo/Spell ";

// --- ls, describe, ping ---

TEST_F(CliTest, ListsTheServersThatThereAre) {
  const auto server = StartServer();
  MakeSocket("dead", true);
  const base::Fd hangs = MakeSocket("hangs", false);
  std::ofstream(directory() + "/file") << "no socket";
  const Ran all = Nearcall("ls");
  EXPECT_EQ(all.code, 0);
  EXPECT_THAT(all.text, HasSubstr(absl::StrCat(ListedName(), "\t", PidText(), "\t")));
  EXPECT_THAT(all.text, HasSubstr(absl::StrCat("\t", std::string(TransportName()), "\tserving\n")));
  EXPECT_THAT(all.text, HasSubstr("dead\t-\t-\t-\tdead"));
  EXPECT_THAT(all.text, HasSubstr("\t-\thangs\n"));
  EXPECT_THAT(all.text, Not(HasSubstr("file\t")));
  server->SetServing("", false);
  EXPECT_THAT(Nearcall("ls").text, HasSubstr("\tnot serving\n"));
}

TEST_F(CliTest, ListsWhatAServerServes) {
  const auto server = StartServer();
  EXPECT_THAT(Nearcall("ls " + Address()), Ends(0, "grpc.reflection.v1.ServerReflection\nnearcall.integration.Echo\n"));
  EXPECT_THAT(Nearcall("ls " + Address() + " nearcall.integration.Streams"),
              Ends(0,
                   "nearcall.integration.Streams/Chat(stream nearcall.integration.Blob) returns (stream "
                   "nearcall.integration.Blob)\n"));
  EXPECT_THAT(Nearcall("ls " + Address() + " no.Such"), Ends(4, "no.Such"));
}

TEST_F(CliTest, DescribesAsAProtoFileDoes) {
  const auto server = StartServer();
  EXPECT_THAT(Nearcall("describe " + Address() + " nearcall.integration.Blob"),
              Ends(0, "message Blob {\n  bytes data = 1;\n}\n"));
  EXPECT_THAT(Nearcall("describe " + Address() + " nearcall.integration.Streams/Up"),
              Ends(0, "rpc Up(stream .nearcall.integration.Blob)"));
  EXPECT_THAT(Nearcall("describe " + Address() + " nearcall.integration.No"), Ends(4, "nearcall.integration.No"));
}

TEST_F(CliTest, Pings) {
  const auto server = StartServer();
  EXPECT_THAT(Nearcall("ping -n 10 " + Address()),
              Ends(0, absl::StrCat("10 round trips to ", Address(), " over ", std::string(TransportName()))));
  EXPECT_THAT(Nearcall("ping -n 0 " + Address()), Ends(2, "--count"));
}

// --- call ---

TEST_F(CliTest, CallsWithJson) {
  const auto server = StartServer();
  const Ran ran = Nearcall("call " + Address() + kSpell + "-d '{\"text\": \"h\\u00e9\"}'");
  EXPECT_EQ(ran.code, 0);
  EXPECT_EQ(ran.text, "{\"text\":\"h\xc3\xa9\"}\n");
  EXPECT_THAT(Nearcall("call " + Address() + kSpell), Ends(0, "{}\n")) << "without data: an empty message";
  EXPECT_THAT(Nearcall("call " + Address() + kSpell + "--emit-defaults"), Ends(0, "{\"text\":\"\"}\n"));
  EXPECT_THAT(Nearcall("call " + Address() + " nearcall.integration.Echo.Spell -d @-", {"{\"text\":", "\"b\"}"}),
              Ends(0, "{\"text\":\"b\"}\n"));
}

TEST_F(CliTest, StreamsAreLines) {
  const auto server = StartServer();
  const std::string call = "call " + Address() + " nearcall.integration.Streams/";
  // In JSON bytes are base64: "2".
  EXPECT_THAT(Nearcall(call + "Down -d '{\"data\": \"Mg==\"}'"), Ends(0, "{\"data\":\"MA==\"}\n{\"data\":\"MQ==\"}\n"));
  EXPECT_EQ(Nearcall(call + "Chat -d @-", {"{\"data\":\"YQ==\"}", "", "{}"}).text, "{\"data\":\"YQ==\"}\n{}\n");
  EXPECT_THAT(Nearcall(call + "Up -d @-", {"{\"data\":\"YQ==\"}", "{}"}), Ends(0, "\n"));
  EXPECT_THAT(Nearcall(call + "Chat"), Ends(0, "")) << "without data nothing is sent";
  EXPECT_THAT(Nearcall(call + "Chat -d @-", {"{}", "{nonsense"}), Ends(5, "not a nearcall.integration.Blob in JSON"));
}

TEST_F(CliTest, OptionsArrive) {
  std::string metadata;
  Priority priority = Priority::kNormal;
  echo.spell = [&](ServerContext& context, const Text&, Text&) {
    for (const auto& [key, value] : context.client_metadata()) {
      absl::StrAppend(&metadata, std::string(key), "=", std::string(value), " ");
    }
    priority = context.priority();
    context.trailing_metadata().Add("took", "long");
    return absl::OkStatus();
  };
  const auto server = StartServer();
  EXPECT_THAT(Nearcall("call " + Address() + kSpell + "-H 'Key: a b' -H 'raw-bin: AAE=' --priority urgent -v"),
              Ends(0, "<< took: long\n"));
  EXPECT_EQ(metadata, std::string("key=a b raw-bin=\0\1 ", 19));
  EXPECT_EQ(priority, Priority::kUrgent);
  EXPECT_THAT(Nearcall("call " + Address() + kSpell + "-H nonsense"), Ends(2, "expected \"name: value\""));
  EXPECT_THAT(Nearcall("call " + Address() + kSpell + "--priority top"), Ends(2, "expected low, normal"));
}

TEST_F(CliTest, WhatItEndsWithSaysWhatWentWrong) {
  echo.spell = [&](ServerContext&, const Text&, Text&) { return absl::NotFoundError("nothing of that name"); };
  const auto server = StartServer();
  EXPECT_THAT(Nearcall("call " + Address() + kSpell), Ends(64 + 5, "nearcall: NOT_FOUND: nothing of that name\n"));
  EXPECT_THAT(Nearcall("call " + Address() + kSpell + "-d '{\"no\": 1}'"), Ends(5, "no: Cannot find field"));
  EXPECT_THAT(Nearcall("call " + Address() + kSpell + "-d @/no/such/file"), Ends(5, "cannot read /no/such/file"));
  EXPECT_THAT(Nearcall("call " + Address() + " nearcall.integration.Echo/No"), Ends(4, "Echo/No"));
  EXPECT_THAT(Nearcall("call " + Address("nobody") + kSpell), Ends(3, "nobody"));
  EXPECT_THAT(Nearcall("call 'shm:../x'" + std::string(kSpell)), Ends(2, "x"));
  EXPECT_THAT(Nearcall("call"), Ends(2, "ADDRESS"));
  EXPECT_THAT(Nearcall("--no-such-flag"), Ends(2, ""));
  EXPECT_THAT(Nearcall("--version"), Ends(0, "nearcall 0."));
  EXPECT_THAT(Nearcall("--help"), Ends(0, "64 + N the call has ended with the status code N"));
}

TEST_F(CliTest, WhatAPeerSaysIsFitForATerminal) {
  echo.spell = [&](ServerContext&, const Text&, Text&) {
    return absl::NotFoundError("the server's \"name\" \xc3\xa9 \x1b[2J\xe2\x80\xae\xff\nnext");
  };
  const auto server = StartServer();
  EXPECT_EQ(Nearcall("call " + Address() + kSpell).text,
            "nearcall: NOT_FOUND: the server's \"name\" \xc3\xa9 \\x1b[2J\\xe2\\x80\\xae\\xff\\nnext\n");
  EXPECT_THAT(Nearcall("describe " + Address() + " no.Such"), Ends(4, "the server's program knows no"));
}

// --- files in place of reflection ---

TEST_F(CliTest, FilesMaySayWhatTheServerDoesNot) {
  const auto server = StartServer({.reflection = false});
  EXPECT_THAT(Nearcall("call " + Address() + kSpell), Ends(4, "no reflection service; use --proto or --protoset"));
  const std::string files = " --proto echo.proto -I " PROTOS " -I " OPTIONS " -I /usr/include";
  EXPECT_THAT(Nearcall("call " + Address() + kSpell + "-d '{\"text\": \"b\"}'" + files), Ends(0, "{\"text\":\"b\"}\n"));
  EXPECT_THAT(Nearcall("ls" + files), Ends(0, "nearcall.integration.Echo\nnearcall.integration.Second\n"));
  EXPECT_THAT(Nearcall("describe nearcall.integration.Text" + files), Ends(0, "message Text {"));
  EXPECT_THAT(Nearcall("ls --proto no.proto"), Ends(4, "cannot read no.proto"));
  EXPECT_THAT(Nearcall("ls --protoset /dev/null"), Ends(0, ""));
  EXPECT_THAT(Nearcall("ls --protoset " NEARCALL_TOOL), Ends(4, "is no descriptor set"));
}

// --- servers that hang, lie, or are dead ---

TEST_F(CliTest, NobodyIsWaitedForLongerThanItSays) {
  Event may_end;
  echo.spell = [&](ServerContext&, const Text&, Text&) {
    may_end.Wait();
    return absl::OkStatus();
  };
  const auto server = StartServer();
  EXPECT_THAT(Nearcall("call " + Address() + kSpell + "--timeout 0.3"), Ends(64 + 4, "DEADLINE_EXCEEDED"));
  may_end.Set();
  NEEDS_SOCKETS();
  const base::Fd hangs = MakeSocket("hangs", false);
  for (const char* command : {"call ", "ls ", "ping ", "describe "}) {
    EXPECT_THAT(Nearcall(absl::StrCat(command, Address("hangs"), command[0] == 'c' ? kSpell : "",
                                      command[0] == 'd' ? " x" : "", " --timeout 300ms")),
                Ends(3, "did not answer"))
        << command;
  }
}

TEST_F(CliTest, NorIsStandardInput) {
  const auto server = StartServer();
  for (const char* method : {"Echo/Spell", "Streams/Up", "Streams/Chat"}) {
    testing::Process process("/bin/sh", {"-c", absl::StrCat("exec " NEARCALL_TOOL " call --timeout 0.3 -d @- ",
                                                            Address(), " nearcall.integration.", method, " 2>&1")});
    EXPECT_THAT(process.ReadLine(), HasSubstr("DEADLINE_EXCEEDED")) << method << ", whose input does not end";
    EXPECT_EQ(process.End(), 64 + 4);
  }
}

TEST_F(CliTest, ADeadServerIsNoServer) {
  MakeSocket("dead", true);
  EXPECT_THAT(Nearcall("call " + Address("dead") + kSpell), Ends(3, "dead"));
}

// Describes itself as `files` say.
class Liar final : public CoGenericService {
 public:
  explicit Liar(std::vector<std::string> files) : files_(std::move(files)) {}

  Task<absl::Status> Call(ServerContext&, CallKind, CoServerReaderWriter<Bytes, Bytes>& stream) override {
    Bytes question;
    while (co_await stream.Read(&question)) {
      ::grpc::reflection::v1::ServerReflectionResponse response;
      for (const std::string& file : files_)
        response.mutable_file_descriptor_response()->add_file_descriptor_proto(file);
      const Bytes answer(response.SerializeAsString());
      if (!co_await stream.Write(answer)) break;
    }
    co_return absl::OkStatus();
  }

 private:
  const std::vector<std::string> files_;
};

TEST_F(CliTest, AServerThatLiesOfItselfIsNotBelieved) {
  google::protobuf::FileDescriptorProto file;
  file.set_name("a.proto");
  file.set_package("a");
  file.add_message_type()->set_name("1 is no name");
  struct {
    std::vector<std::string> files;
    const char* part;
  } const lies[] = {{{"garbage"}, "by what is no FileDescriptorProto"},
                    {{file.SerializeAsString()}, "the server's description of a.proto is wrong"},
                    {{}, "there is no method"},
                    {std::vector<std::string>(2, ""), "there is no method"}};
  for (const auto& lie : lies) {
    Liar liar(lie.files);
    const auto server = Must(
        ServerBuilder({.log_sink = log.sink(), .reflection = false}).Listen(Address()).RegisterGeneric(&liar).Start());
    const Ran ran = Nearcall("call " + Address() + " a.B/C --timeout 5");
    EXPECT_THAT(ran.text, HasSubstr(lie.part));
    EXPECT_TRUE(ran.code == 4 || ran.code == 64 + 13) << ran.code;
  }
}

}  // namespace
}  // namespace nearcall::integration
