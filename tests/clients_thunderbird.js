// Run inside Thunderbird, in its own (chrome) scope: one function for each step of TestThunderbird. A step gets its argument and
// returns what the test looks at.
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const { setTimeout } = ChromeUtils.importESModule("resource://gre/modules/Timer.sys.mjs");
const { NetUtil } = ChromeUtils.importESModule("resource://gre/modules/NetUtil.sys.mjs");

const server = () => MailServices.accounts.allServers.find(s => s.type == "imap");
const folders = () => server().rootFolder.descendants.map(f => f.QueryInterface(Ci.nsIMsgImapMailFolder));
const folder = name => {
  const found = folders().find(f => f.onlineName == name);
  if (!found) throw new Error("no folder " + name + " among " + folders().map(f => f.onlineName));
  return found;
};
const messages = name => [...folder(name).messages].sort((a, b) => a.messageKey - b.messageKey);

// until waits for a condition, a minute at most.
const until = async (what, ok) => {
  for (let n = 0; n < 600; n++) {
    try {
      const got = ok();
      if (got) return got;
    } catch (e) {}
    await new Promise(r => setTimeout(r, 100));
  }
  throw new Error("waited in vain until " + what);
};

// listener resolves when an act on a folder has ended.
const listener = act => new Promise((resolve, reject) => act({
  QueryInterface: ChromeUtils.generateQI(["nsIUrlListener", "nsIMsgCopyServiceListener"]),
  OnStartRunningUrl() {},
  OnStopRunningUrl(url, status) { Components.isSuccessCode(status) ? resolve() : reject(new Error("status " + status.toString(16))); },
  onStartCopy() {}, onProgress() {}, setMessageKey() {}, getMessageId() { return null; },
  onStopCopy(status) { Components.isSuccessCode(status) ? resolve() : reject(new Error("status " + status.toString(16))); },
}));

const steps = {
  // account makes the account, as the assistant for new ones does.
  async account({ host, port, address, password, ca }) {
    Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB).addCertFromBase64(ca, "C,,");
    const s = MailServices.accounts.createIncomingServer(address, host, "imap");
    s.port = port;
    s.socketType = Ci.nsMsgSocketType.SSL;
    s.authMethod = Ci.nsMsgAuthMethod.passwordCleartext;
    s.password = password;
    const identity = MailServices.accounts.createIdentity();
    identity.email = address;
    const account = MailServices.accounts.createAccount();
    account.addIdentity(identity);
    account.incomingServer = s;
    s.performExpand(null);
    await until("the folders are there", () => folder("INBOX") && folder("Sent") && folder("Trash"));
    return folders().map(f => f.onlineName).sort();
  },

  // fetch updates a folder until it has so many messages, and returns their bytes.
  async fetch({ name, count }) {
    await listener(l => folder(name).updateFolderWithListener(null, l));
    await until(count + " messages are there", () => messages(name).length == count);
    const out = [];
    for (const m of messages(name)) {
      const uri = m.folder.getUriForMsg(m);
      out.push(await new Promise((resolve, reject) => {
        let text = "";
        const bin = Cc["@mozilla.org/binaryinputstream;1"].createInstance(Ci.nsIBinaryInputStream);
        MailServices.messageServiceFromURI(uri).streamMessage(uri, {
          QueryInterface: ChromeUtils.generateQI(["nsIStreamListener", "nsIRequestObserver"]),
          onStartRequest() {},
          onDataAvailable(request, stream, offset, n) { bin.setInputStream(stream); text += btoa2(bin.readBytes(n)); },
          onStopRequest(request, status) { Components.isSuccessCode(status) ? resolve(text) : reject(new Error("status " + status.toString(16))); },
        }, null, null, false, "", false);
      }));
    }
    return out;
  },

  // arrive waits for a message that nobody asked for: the server tells of it.
  async arrive({ name, count }) {
    await until(count + " messages came by themselves", () => messages(name).length == count);
    return messages(name).map(m => m.mime2DecodedSubject);
  },

  async mark({ name, at }) {
    const m = messages(name)[at];
    folder(name).markMessagesRead([m], true);
    folder(name).markMessagesFlagged([m], true);
    folder(name).addKeywordsToMessages([m], "$label1");
    await until("the message is marked", () => m.isRead && m.isFlagged);
    return true;
  },

  async move({ name, at, to }) {
    await listener(l => MailServices.copy.copyMessages(folder(name), [messages(name)[at]], folder(to), true, l, null, false));
    return true;
  },

  async create({ name }) {
    server().rootFolder.createSubfolder(name, null);
    await until("the folder is there", () => folder(name));
    return true;
  },

  // file uploads a message.
  async file({ path, to }) {
    const file = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile);
    file.initWithPath(path);
    await listener(l => MailServices.copy.copyFileMessage(file, folder(to), null, false, 1, "", l, null));
    return true;
  },

  async search({ name, text }) {
    const session = Cc["@mozilla.org/messenger/searchSession;1"].createInstance(Ci.nsIMsgSearchSession);
    session.addScopeTerm(Ci.nsMsgSearchScope.onlineMail, folder(name));
    const term = session.createTerm();
    term.attrib = Ci.nsMsgSearchAttrib.Body;
    term.op = Ci.nsMsgSearchOp.Contains;
    const value = term.value;
    value.attrib = term.attrib;
    value.str = text;
    term.value = value;
    session.appendTerm(term);
    return await new Promise(resolve => {
      const hits = [];
      session.registerListener({
        QueryInterface: ChromeUtils.generateQI(["nsIMsgSearchNotify"]),
        onSearchHit(m) { hits.push(m.mime2DecodedSubject); },
        onSearchDone() { resolve(hits); },
        onNewSearch() {},
      });
      session.search(null);
    });
  },
};

// btoa2 keeps pieces apart that are encoded one by one.
const btoa2 = s => btoa(s) + "\n";

const done = arguments[arguments.length - 1];
steps[arguments[0]](arguments[1]).then(value => done({ value }), e => done({ error: String(e) + "\n" + e.stack }));
