# frozen_string_literal: true

require_relative 'support'

# Users whom the manifest names, changes, and removes; and the log of what they do.
RSpec.describe 'seeded users', type: :cluster do
  reader = { 'role' => 'reader', 'password' => 'the first secret', 'max_connections' => 2 }
  users = { 'metrics' => reader, 'dump' => { 'role' => 'backup', 'password' => 'x' }, 'former' => { 'role' => 'admin', 'password' => 'x' } }
  everything = { 'general_log' => 1, 'general_log_file' => '/var/vcap/sys/log/mariadb/general.txt', 'slow_query_log' => 1,
                 'slow_query_log_file' => '/var/vcap/sys/log/mariadb/slow.txt', 'long_query_time' => 0 }
  ClusterSpec.with_lab(self, 'seed', nodes: 1, ops: ClusterSpec::SMALL + ClusterSpec::RSYNC, properties: { 'mariadb.seeded_users' => users, 'mariadb.additional_my_cnf' => { 'mysqld' => everything } })

  def as(user, password, statement)
    lab.exec(0, 'mariadb', '--no-defaults', '-h', lab.address(0), '-u', user, "-p#{password}", '-BNe', statement)
  end

  it 'have what their role says, and no more' do
    expect(as('metrics', 'the first secret', 'SELECT COUNT(*) > 0 FROM mysql.global_priv; SHOW PROCESSLIST; SHOW BINLOG STATUS').status).to eq(0)
    expect(as('metrics', 'the first secret', 'CREATE DATABASE mine').err).to include('ERROR 1044')
    expect(value(0, "SELECT JSON_VALUE(Priv, '$.max_user_connections') FROM mysql.global_priv WHERE User = 'metrics'")).to eq('2')
    dump = lab.exec(0, 'mariadb-dump', '--no-defaults', '-h', lab.address(0), '-u', 'dump', '-px', '--single-transaction', '--routines', '--triggers', '--events', '--all-databases')
    expect([dump.status, dump.out]).to match([0, /CREATE TABLE/])
    expect(as('dump', 'x', 'CREATE DATABASE mine').err).to include('ERROR 1044')
    expect(as('former', 'x', 'CREATE DATABASE theirs').status).to eq(0)
  end

  it 'are changed and removed by a deploy; what they do is in the audit log, where that is on' do
    lab.deploy(properties: { 'mariadb.seeded_users' => { 'metrics' => reader.merge('password' => 'the second secret', 'max_connections' => 5) },
                             'mariadb.removed_users' => %w[former nobody], 'mariadb.audit_log.enabled' => true,
                             'mariadb.audit_log.events' => %w[CONNECT QUERY_DDL] })
    wait_healthy
    wait('the new password') { as('metrics', 'the second secret', 'SELECT 1').ok? }
    expect(as('metrics', 'the first secret', 'SELECT 1').err).to include('ERROR 1045')
    expect(as('former', 'x', 'SELECT 1').err).to include('ERROR 1045')
    expect(value(0, "SELECT JSON_VALUE(Priv, '$.max_user_connections') FROM mysql.global_priv WHERE User = 'metrics'")).to eq('5')
    # Whom the manifest does not name any more is left as he was.
    expect(as('dump', 'x', 'SELECT 1').status).to eq(0)
    expect(log(0)).to match(/seeded=".*removed user former@%/)
    lab.sql(0, 'CREATE DATABASE by_the_administrator')
    audit = lab.exec(0, 'cat', '/var/vcap/store/mariadb/server_audit.log').out
    expect(audit).to match(/,metrics,.*,FAILED_CONNECT,/).and match(/,metrics,.*,CONNECT,/)
    expect(audit).not_to match(/,vcap,.*,QUERY,/)
  end

  it 'are not touched where nothing differs: a start changes nothing' do
    settled = -> { log(0).lines.grep(/ synced /) }
    before = settled.call.size
    lab.restart(0)
    wait('galera-start to have looked at the users again') { settled.call.size > before }
    expect(settled.call.last).to end_with(%( seeded=""\n))
  end

  it 'C4: have passwords that no log of the server shows, whatever it logs' do
    said = %w[general slow].map { |name| log(0, "mariadb/#{name}.txt") }
    expect(said).to all(include('mysql.global_priv', 'metrics'))
    expect(said.join).not_to match(/the (first|second) secret/)
  end

  it 'C4: nobody without a password writes a line into the error log, which is read as evidence' do
    before = log(0, 'mariadb/mariadb.err.log')
    name = "nobody\nStarting MariaDB 10 as process 7\nWSREP: start_prim is enabled"
    refused = lab.exec(0, 'setpriv', '--reuid=vcap', '--regid=vcap', '--init-groups', 'mariadb', '--no-defaults', '--protocol=tcp', '--host=127.0.0.1', "--user=#{name}", '-e', 'SELECT 1')
    expect(refused.err).to include('Access denied')
    expect(log(0, 'mariadb/mariadb.err.log').delete_prefix(before)).not_to match(/nobody|start_prim|Access denied/)
  end
end
