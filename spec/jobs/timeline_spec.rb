# frozen_string_literal: true

require_relative 'rendering'

# The timeline of seed 000's log alone, as a real browser shows it.
RSpec.describe 'The timeline as a page', type: :rendering do
  fixture = File.join(RELEASE_DIR, 'src/cluster/diagnosis/fixtures/seed_000_error_log.txt')
  program = %w[release debug].map { |p| File.join(RELEASE_DIR, 'target', p, 'galera-ctl') }.find { |f| File.executable?(f) }

  before(:context) do
    raise 'galera-ctl is not built: cargo build' unless program
    @dir = Dir.mktmpdir
    FileUtils.mkdir_p("#{@dir}/logs")
    FileUtils.cp(fixture, "#{@dir}/logs/mysql-1.err.log")
    @out, @err, @status = Open3.capture3({}, program, 'timeline', "#{@dir}/logs", '--html', "#{@dir}/page.html", unsetenv_others: true)
  end

  after(:context) { FileUtils.rm_rf(@dir) }

  def browser(*options, url: "file://#{@dir}/page.html")
    command = ['chromium-headless-shell', '--no-sandbox', '--disable-gpu', "--user-data-dir=#{@dir}/profile", '--virtual-time-budget=3000', *options, url]
    out, err, status = Open3.capture3('timeout', '60', *command)
    raise "the browser ended with #{status.exitstatus}: #{err}" unless status.success?
    out
  end

  it 'needs a folder of logs and nothing else, and says what one node can know (K1, K8, K13)' do
    expect([@status.exitstatus, @err]).to eq([0, ''])
    expect(@out).to include('PartialKnowledge', 'mysql-1: WedgedAtStart', '21:57:32  mysql-1  > mariadbd started as process 1890')
    expect(@out.lines.grep(/no quorum possible/).size).to be >= 1
  end

  it 'is shown by a browser: a lane, bands, signs, a row for each event' do
    dom = browser('--dump-dom')
    expect(dom).to include('<title>Timeline</title>', 'class="band nonprimary"', '<h2>PartialKnowledge</h2>')
    signs = dom.scan(/<a href="#e(\d+)" class="sign/).flatten
    expect(signs).not_to be_empty
    expect(signs - dom.scan(/<tr id="e(\d+)"/).flatten).to eq([])
    expect(dom).not_to match(/<details open/)
  end

  it 'opens the evidence of a sign that is clicked, and is whole without scripts' do
    target = browser('--dump-dom')[/<a href="#(e\d+)" class="sign trouble"/, 1]
    opened = browser('--dump-dom', url: "file://#{@dir}/page.html##{target}")
    expect(opened).to match(%r{<tr id="#{target}".*?<details open="">.*?<pre><i>mysql-1\.err\.log:\d+</i> 2017-10-21 21:57:36}m)
    expect(opened.scan('<details open').size).to eq(1)
    File.write("#{@dir}/plain.html", File.read("#{@dir}/page.html").sub(%r{<script>.*</script>}m, ''))
    plain = browser('--dump-dom', url: "file://#{@dir}/plain.html")
    expect(plain.scan('<details').size).to eq(opened.scan('<details').size)
    expect(plain).to include('no nodes coming from prim view, prim not possible')
  end

  it 'can be looked at, and printed' do
    browser("--screenshot=#{@dir}/page.png", '--window-size=1280,1400', '--hide-scrollbars')
    png = File.binread("#{@dir}/page.png")
    expect(png[16, 8].unpack('N2')).to eq([1280, 1400])
    # A blank page packs into a few kilobytes.
    expect(png.bytesize).to be > 40_000
    browser("--print-to-pdf=#{@dir}/page.pdf", '--no-pdf-header-footer')
    pdf = File.binread("#{@dir}/page.pdf")
    expect(pdf[0, 5]).to eq('%PDF-')
    expect(pdf).to match(%r{/MediaBox \[0 0 84\d(\.\d+)? 59\d(\.\d+)?\]})
  end

  it 'does not run what a log says' do
    Dir.mktmpdir do |dir|
      evil = %q(<script>document.title='owned'</script><img src=x onerror="document.title='owned'">)
      File.write("#{dir}/x.log", "2026-11-21 10:00:00 0 [ERROR] #{evil}\n2026-11-21 10:00:01 0 [Note] Starting MariaDB 1 as process 7\n")
      _, err, status = Open3.capture3(program, 'timeline', dir, '--html', "#{dir}/page.html")
      expect([status.exitstatus, err]).to eq([0, ''])
      expect(browser('--dump-dom', url: "file://#{dir}/page.html")).to include('<title>Timeline</title>').and include('&lt;script&gt;')
    end
  end

  it 'says what is wrong with a folder that tells nothing' do
    Dir.mktmpdir do |dir|
      _, err, status = Open3.capture3(program, 'timeline', dir)
      expect([status.exitstatus, err]).to match([1, a_string_including('no error log or journal')])
      _, err, status = Open3.capture3(program, 'timeline', "#{dir}/none")
      expect([status.exitstatus, err]).to match([1, a_string_including('none')])
      _, _, status = Open3.capture3(program, 'timeline', dir, '--from', 'yesterday')
      expect(status.exitstatus).to eq(2)
    end
  end
end
