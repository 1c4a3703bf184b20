# frozen_string_literal: true

require 'tmpdir'
require 'yaml'
require_relative 'support'

RSpec.describe 'report, hooks, metrics and events', type: :cluster do
  hooks = '/var/vcap/store/hooks'
  # By name, by form, and by heart: each must be masked wherever it is.
  planted = { user: 'planted-user-1', log: 'planted-log-2', command: 'planted-command-3', key: 'planted+key/4', config: 'planted-config-5', url: 'planted-url-6' }
  properties = { 'mariadb.seeded_users' => { 'app' => { 'role' => 'minimal', 'password' => planted[:user] } },
                 'mariadb.hooks.directory' => '/var/vcap/*/hooks', 'mariadb.hooks.timeout' => '2s' }
  ClusterSpec.with_lab(self, 'report', ops: ClusterSpec::SMALL + ClusterSpec::RSYNC, properties: properties)

  def ctl(instance, *words, limit: 90)
    lab.exec(instance, '/var/vcap/packages/mariadb-galera/bin/galera-ctl', '--config', '/var/vcap/jobs/mariadb/config/member.yml', *words, limit: limit)
  end

  # The bundle that was printed, unpacked: path => text
  def unpacked(instance, bundle)
    Dir.mktmpdir do |dir|
      system('tar', 'xzf', lab.vm(instance).vcap(bundle.delete_prefix('/var/vcap/')), '-C', dir, exception: true)
      base = File.join(dir, Dir.children(dir).first)
      Dir.glob('**/*', base: base).select { |f| File.file?(File.join(base, f)) }.to_h { |f| [f, File.read(File.join(base, f))] }
    end
  end

  def bundle_of(text) = text[%r{/var/vcap/\S+/bundle\.tar\.gz}] || raise("no bundle in:\n#{text}")

  define_method(:hook) do |kind, script, on: lab.instances, name: '10-test'|
    on.each do |i|
      lab.exec(i, 'sh', '-c', "mkdir -p #{hooks}/#{kind} && cat > #{hooks}/#{kind}/.new && chmod 755 #{hooks}/#{kind}/.new && mv #{hooks}/#{kind}/.new #{hooks}/#{kind}/#{name}", stdin: "#!/bin/sh\n#{script}\n")
    end
  end

  def metrics(instance) = http(instance, '/metrics').last

  it 'collects from all members what is told, and no secret, and says where it is (H15, K16)' do
    lines = ["[ERROR] password=#{planted[:log]}", "[Note] the user's #{planted[:user]} by heart", "[Note] http://me:#{planted[:url]}@host/"]
    lines.each { |line| lab.exec(1, 'sh', '-c', "echo \"$(date -u '+%Y-%m-%d %H:%M:%S') 0 $0\" >> /var/vcap/sys/log/mariadb/mariadb.err.log", line) }
    key = "-----BEGIN PRIVATE KEY-----\n#{planted[:key]}\n-----END PRIVATE KEY-----\n"
    lab.exec(1, 'sh', '-c', 'cat > /var/vcap/jobs/mariadb/config/extra.pem; chmod 644 /var/vcap/jobs/mariadb/config/extra.pem', stdin: key)
    lab.exec(1, 'sh', '-c', "echo 'some_token = #{planted[:config]} and more' > /var/vcap/jobs/mariadb/config/extra.cnf; chmod 644 /var/vcap/jobs/mariadb/config/extra.cnf")
    Thread.new { lab.exec(1, 'sh', '-c', 'sleep 60; true', 'x', "--password=#{planted[:command]}", limit: 90) }
    wait('the command to run') { lab.exec(1, 'pgrep', '-f', planted[:command]).ok? }
    result = lab.run_errand('report', instance: 'mysql/0').fetch('mysql/0')
    expect(result).to be_ok, result.to_s
    expect(result.out.bytesize).to be < 1_000_000
    expect(result.out).to include('Healthy: ', 'Who reaches whom', 'mysql/1 open/open')
    files = unpacked(0, bundle_of(result.out))
    %w[observation.json journal.jsonl memory.json grastate.dat mariadb.err.log galera-start.log galera-agent.log processes.txt sockets.txt disks.txt
       data-directory.txt kernel.txt versions.txt sql/status.txt sql/variables.txt sql/provider-options.txt sql/connections.txt config/mariadb/my.cnf].each do |name|
      3.times { |n| expect(files["mysql-#{n}/#{name}"].to_s.strip).not_to be_empty, "mysql-#{n}/#{name}: #{files['missing.txt']}" }
    end
    expect(files['mysql-1/mariadb.err.log']).to include('password=(masked)', "the user's (masked) by heart", 'http://me:(masked)@host/')
    expect(files['mysql-1/config/mariadb/extra.pem']).to include('masked')
    expect(files['mysql-1/processes.txt']).to include('--password=(masked)')
    secrets = planted.values + [credentials(0).last]
    files.each { |name, text| secrets.each { |s| expect(text).not_to include(s), "#{name} has #{s}" } }
    secrets.each { |s| expect(result.to_s).not_to include(s) }
    expect(files['sql/connections.txt'].to_s).not_to include('SELECT')
    expect(files['timeline.txt']).to match(/mysql\/2 +> mariadbd started as process/).and include('primary view')
    expect(files['timeline.html']).to include('<svg', 'mysql/1')
    expect(files.keys.grep(/\.(ibd|frm|MYD)\z|ibdata/)).to eq([])
    lab.exec(1, 'rm', '-f', '/var/vcap/jobs/mariadb/config/extra.pem', '/var/vcap/jobs/mariadb/config/extra.cnf')
    lab.exec(1, 'pkill', '-f', planted[:command])
  end

  it 'works where SQL hangs, an agent is down, and this VM\'s own agent is down, and says what it lacks' do
    lab.monit(2, 'stop', 'galera-agent')
    wait('the agent to be gone') { !lab.exec(2, 'pgrep', '-x', 'galera-agent').ok? }
    lab.kill(1, 'STOP')
    wait('health to say hung') { http(1, '/', auth: false).last.start_with?('hung') }
    begun = Time.now
    there, here = [0, 2].map { |i| Thread.new { ctl(i, 'report', '--last', '1h') } }.map(&:value)
    expect(Time.now - begun).to be < 30
    expect([there, here]).to all(be_ok)
    missing = unpacked(0, bundle_of(there.out))['missing.txt']
    expect(missing).to match(%r{mysql/2: its agent's part: its agent does not answer.*refused}i).and match(%r{mysql/1: sql: SQL does not answer})
    files = unpacked(2, bundle_of(here.out))
    expect(files['missing.txt']).to include('mysql/2: so this VM was looked at without it')
    expect(files['mysql-2/mariadb.err.log'].to_s + files['mysql-2/sql/status.txt'].to_s).to include('wsrep_cluster_status')
  ensure
    lab.kill(1, 'CONT')
    lab.monit(2, 'start', 'galera-agent')
    wait_healthy
  end

  it 'has metrics that Prometheus takes, for those who know the password (G15)' do
    expect(http(0, '/metrics', auth: false).first).to eq(401)
    text = ''
    wait('the members to have been asked') { (text = metrics(0)).include?('mariadb_galera_diagnosis{code="Healthy"} 1') }
    output, status = Open3.capture2e('promtool', 'check', 'metrics', stdin_data: "#{text}\n")
    expect(status).to be_success, output
    expect(text.scan(/^(\w+)/).flatten.uniq - File.read(File.join(RELEASE_DIR, 'docs/interface.md')).scan(/`(\w+)`/).flatten).to eq([])
    seqno = value(0, "SHOW STATUS LIKE 'wsrep_last_committed'") && wsrep(0, 'last_committed').to_i
    expect(text[/^mariadb_galera_seqno (\d+)/, 1].to_i).to be_between(1, seqno)
    expect(text).to include('mariadb_galera_members_seen 3', 'mariadb_galera_bootstraps_total{proof="FirstDeploy"} 1', 'mariadb_galera_peer_reachable{peer="mysql/2",port="galera"} 1')
    expect(http(0, '/v1/report?from=x').first).to eq(400)
  end

  it 'keeps evidence before members act, asks hooks first, and obeys them (S20)' do
    wait('the agent to have settled on Healthy') do
      lab.exec(0, 'cat', '/var/vcap/store/mariadb/galera/diagnosis.jsonl').out.lines.last.to_s.include?('"code":"Healthy"')
    end
    hook('pre-bootstrap', 'echo "not today: $GALERA_MEMBER"; exit 3')
    hook('on-diagnosis', 'cat >> /var/vcap/store/hooks/told; echo >> /var/vcap/store/hooks/told')
    lab.instances.each { |i| lab.exec(i, 'chown', 'vcap:vcap', hooks) }
    total_outage
    vetoed = wait('the hook to prevent a recovery') { lab.instances.find { |i| log(i).include?('Refused by a pre-bootstrap hook') } }
    expect(log(vetoed)).to match(/not today: mysql\/\d/)
    # The outage lasts until two looks have agreed on it.
    wait('the hook to be told of the outage') { lab.exec(0, 'cat', "#{hooks}/told").out.include?('"before":"Healthy"') }
    expect(lab.instances.none? { |i| lab.mariadbd(i) }).to be(true)
    expect(log(vetoed)[/evidence of how it was is kept in \S+ \((\d+) ms\)/, 1].to_i).to be_between(1, 2500)
    parent = '/var/vcap/store/mariadb/galera/incidents'
    bundle = wait('the evidence to be packed') { lab.exec(vetoed, 'sh', '-c', "ls #{parent}/*/bundle.tar.gz").out.lines.first&.chomp }
    files = unpacked(vetoed, bundle)
    expect(JSON.parse(files['diagnosis.json']).dig('diagnosis', 'code')).to match(/AllDown/)
    expect(files['report.txt']).to include('asked for by automatic recovery by')
    expect(files.keys.grep(/mariadb\.err\.log/).size).to eq(3)
    expect(ctl(vetoed, 'events').words).to include('an incident report was kept in', 'Refused by a pre-bootstrap hook')
  end

  it 'ends a hook at its limit, and refuses (S20)' do
    hook('pre-bootstrap', 'sleep 77')
    results = errand('mysql/0')
    expect(results['mysql/0'].status).to eq(3), told(results)
    expect(results['mysql/0'].words).to match(/Refused by a pre-bootstrap hook|ended: Refused/)
    wait('no hook to be left') { lab.instances.none? { |i| lab.exec(i, 'pgrep', '-fx', 'sleep 77').ok? } }
    expect(lab.instances.none? { |i| lab.mariadbd(i) }).to be(true)
  end

  it 'recovers also where evidence cannot be kept, and tells hooks afterwards' do
    lab.instances.each { |i| lab.exec(i, 'sh', '-c', 'rm -rf /var/vcap/store/mariadb/galera/incidents; echo x > /var/vcap/store/mariadb/galera/incidents') }
    hook('pre-bootstrap', 'exit 0')
    hook('post-bootstrap', 'cat > /var/vcap/store/hooks/after')
    results = errand('mysql/0')
    expect(results['mysql/0'].status).to eq(0), told(results)
    wait_healthy
    leader = lab.instances.find { |i| lab.exec(i, 'test', '-s', "#{hooks}/after").ok? }
    facts = JSON.parse(lab.exec(leader, 'cat', "#{hooks}/after").out)
    expect(facts).to include('proof' => a_string_starting_with('EveryMemberSeen'), 'result' => a_string_including('all 3 members are Synced'))
    said = log(leader) + log(0, 'bootstrap/galera-bootstrap.log')
    expect(said).to include('evidence could not be kept, going on without')
    lab.instances.each { |i| lab.exec(i, 'rm', '-f', '/var/vcap/store/mariadb/galera/incidents') }
  end

  it 'tells of the change of the diagnosis: hook, journal, metrics, events (S21)' do
    changes = wait('the hook to be told that all is well again') do
      found = lab.exec(0, 'cat', "#{hooks}/told").out.lines.map(&:strip).reject(&:empty?).map { |l| JSON.parse(l) }
      found if found.last && found.last['code'] == 'Healthy'
    end
    expect(changes.map { |c| c['before'] }).to include('Healthy')
    lines = ctl(0, 'events', '--since', '1h', '--json').out.lines.map { |l| JSON.parse(l) }
    expect(lines.map { |l| l['at'] }).to eq(lines.map { |l| l['at'] }.sort)
    expect(lines.map { |l| l['event'] }).to include('diagnosis.changed', 'mariadbd.died', 'synced')
    expect(ctl(0, 'events').out).to match(/verdict +Healthy: /)
    expect(metrics(0)).to include('mariadb_galera_bootstraps_total{proof="EveryMemberSeen"} 1')
  end
end
